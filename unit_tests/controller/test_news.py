"""What of a template's changes is worth a look, and what is not: our own label coming back is not, or a cold start would take twice as long."""

from typing import Any

import pytest

from controller.dispatch import nothing_new
from policy.template_hashes import HASH_LABEL, name_hash
from unit_tests.controller.raw_objects import template

LABELLED = {"labels": {HASH_LABEL: name_hash("python")}}


def changed(head: dict[str, Any] | None = None, **top: Any) -> dict[str, Any]:
    raw = template("python")
    return {**raw, **top, "metadata": {**raw["metadata"], **LABELLED, **(head or {})}}


def test_our_own_label_coming_back_is_no_news():
    assert nothing_new(template("python"), changed({"resourceVersion": "2"}))


@pytest.mark.parametrize(
    "new",
    [
        pytest.param(changed({"generation": 2}), id="its spec"),
        pytest.param(changed({"annotations": {"groyne.dev/passthrough-domains": "a.example"}}), id="its annotations"),
        pytest.param(changed({"deletionTimestamp": "2026-01-01T00:00:00Z"}), id="it is on its way out"),
        pytest.param(changed({"uid": "another"}), id="it is another one"),
        pytest.param(changed({"labels": {HASH_LABEL: "0badc0de"}}), id="the label is wrong"),
        pytest.param(changed({"labels": {}}), id="the label is gone"),
        pytest.param(changed(apiVersion="extensions.agents.x-k8s.io/v1alpha1"), id="it is read in another version"),
    ],
)
def test_all_else_is(new: dict[str, Any]):
    assert not nothing_new(changed(), new)
