"""Audit actions: the webhook's limits."""

from typing import Any

import pytest

from unit_tests.crds.build import accepted, auditing, faults, profile

AT = "spec.audit[0].webhook"


def test_defaults_of_a_webhook() -> None:
    action = accepted(auditing(request={})).spec.audit[0]
    assert (action.when, action.webhook.timeout, action.webhook.request.method) == ("", "2s", "POST")
    assert (action.webhook.request.headers, action.webhook.request.body) == ((), None)


def test_a_json_body_keeps_its_shape() -> None:
    body = {"text": "{{ .Request.Host }}", "deep": [{"null": None, "number": 1.5}]}
    assert accepted(auditing(request={"body": {"json": body}})).spec.audit[0].webhook.request.body.json_ == body


@pytest.mark.parametrize(
    ("webhook", "reason", "field"),
    [
        ({"url": ""}, "InvalidValue", "url"),
        ({"url": "x" * 2049}, "TooLong", "url"),
        ({"url": None}, "MissingField", "url"),
        ({"timeout": "499ms"}, "InvalidValue", "timeout"),
        ({"timeout": "31s"}, "InvalidValue", "timeout"),
        ({"timeout": "soon"}, "InvalidValue", "timeout"),
        ({"timeout": 2}, "InvalidType", "timeout"),
        ({"request": {"method": "GET"}}, "InvalidEnum", "request.method"),
        ({"request": {"headers": [{"name": "a b", "value": ""}]}}, "InvalidValue", "request.headers[0].name"),
        ({"request": {"body": {"json": {}, "text": ""}}}, "Conflict", "request.body"),
        ({"request": {"body": {"json": "text"}}}, "InvalidType", "request.body.json"),
        ({"request": {"body": {"text": "x" * 8193}}}, "TooLong", "request.body.text"),
    ],
)
def test_a_webhook_outside_its_limits_is_located(webhook: dict[str, Any], reason: str, field: str) -> None:
    assert faults(auditing(**webhook)) == [(reason, f"{AT}.{field}")]


@pytest.mark.parametrize(
    ("action", "reason", "field"),
    [
        ({"name": "A", "webhook": {"url": "u"}}, "InvalidValue", "name"),
        ({"name": "x" * 64, "webhook": {"url": "u"}}, "TooLong", "name"),
        ({"name": "a"}, "MissingField", "webhook"),
        ({"name": "a", "when": "x" * 1025, "webhook": {"url": "u"}}, "TooLong", "when"),
    ],
)
def test_an_audit_action_outside_its_limits_is_located(action: dict[str, Any], reason: str, field: str) -> None:
    assert faults(profile(audit=[action])) == [(reason, f"spec.audit[0].{field}")]


def test_audit_actions_have_names_of_their_own() -> None:
    twice = [{"name": "a", "webhook": {"url": "u"}}] * 2
    assert faults(profile(audit=twice)) == [("Duplicate", "spec.audit[1].name")]
