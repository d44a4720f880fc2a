"""The unified Secret: byte-stable, redacted wherever it is printed, and never larger than the API server takes."""

import base64
import copy
import json
import logging
from datetime import UTC, datetime

import pytest

from controller.compile.material import Material, material
from controller.compile.redacted import Redacted
from controller.compile.secret import CONTENT_HASH, REFUSE_BYTES, WARN_BYTES, UnifiedSecret, unified_secret
from controller.compile.template import Cluster, compile_template, select
from dataplane.compile import Configuration, make_plan
from policy.program import Program, SecretKeyRef, Selection
from unit_tests.controller.compile.build import block, profile, program, template, token

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VALUE = "sk-live-0123456789"
CREDENTIALS = {SecretKeyRef(namespace="team-a", name="keys", key="apiKey"): VALUE}


def configuration(**files: str) -> Configuration:
    return Configuration(files=files, plan=make_plan(Selection()))


def secret(found: Program, credentials=CREDENTIALS) -> UnifiedSecret | None:
    wanted = template()
    output = compile_template(wanted, select(wanted, found), credentials, now=NOW, cluster=Cluster())
    assert not output.problems
    return output.secret


KEYED = program(profile("key", [token("api.test")]))


def test_same_input_same_bytes():
    """No write where nothing changed: neither a byte nor the hash moves."""
    made = material(("a.test",), ca_name="CA", now=NOW)
    one, two = (unified_secret(template(), configuration(b="2", a="1"), made).secret for _ in range(2))
    assert one == two
    assert one is not None
    assert json.dumps(one.manifest(reveal=True)) == json.dumps(two.manifest(reveal=True))
    assert list(one.data) == sorted(one.data)


def test_the_hash_is_of_names_and_values():
    """A moved boundary, a renamed key, another value: another hash."""
    given = [{"a": "1", "b": "2"}, {"a": "12"}, {"a": "1", "c": "2"}, {"a": "1", "b": "3"}, {"ab": "12"}]
    found = {unified_secret(template(), configuration(**files), Material()).secret.metadata["annotations"][CONTENT_HASH] for files in given}
    assert len(found) == len(given)


def test_a_deleted_credential_is_gone():
    """Its file goes, and the value is nowhere."""
    with_value, without = secret(KEYED), secret(KEYED, {})
    assert any(VALUE.encode() in value.reveal() for value in with_value.data.values())
    assert not any(VALUE.encode() in value.reveal() for value in without.data.values())
    assert {key for key in with_value.data if key.startswith("sds-credential")}
    assert not {key for key in without.data if key.startswith("sds-credential")}


def test_no_profile_no_secret():
    """A template that nothing selects has none."""
    assert secret(program(profile("else", [block("*")], labels={"app": "other"}))) is None


def test_the_ca_key_is_not_among_the_proxys_files():
    """It is the controller's to find again; no file of the proxy names or holds it."""
    wanted = template()
    output = compile_template(wanted, select(wanted, KEYED), CREDENTIALS, now=NOW, cluster=Cluster())
    key = output.ca.data["ca.key"].reveal()
    assert not [name for name, value in output.secret.data.items() if key.strip() in value.reveal() or b"ca.key" in value.reveal()]


def test_every_key_is_one_that_a_secret_takes():
    """Letters, digits, dashes, dots and underscores."""
    assert all(key.replace("-", "").replace(".", "").replace("_", "").isalnum() for key in secret(KEYED).data)


def test_nothing_printed_shows_a_value(caplog: pytest.LogCaptureFixture):
    """Neither repr nor str, format, logging, copies, nor the manifest that is not asked to reveal."""
    found = secret(KEYED)
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("%s %r", found, found)
    printed = f"{found} {found!r} {caplog.text} {found.manifest(reveal=False)} {copy.deepcopy(dict(found.data))}"
    for hidden in (VALUE, "PRIVATE KEY", base64.b64encode(VALUE.encode()).decode()):
        assert hidden not in printed
    assert "***" in printed


def test_revealed_values_are_base64():
    """What the API server takes, and what comes back is what was meant."""
    found = unified_secret(template(), configuration(a="ä"), Material()).secret
    assert base64.b64decode(found.manifest(reveal=True)["data"]["a"]).decode() == "ä"


@pytest.mark.parametrize(
    ("size", "reason"),
    [(WARN_BYTES, None), (WARN_BYTES + 1, "SecretLarge"), (REFUSE_BYTES, "SecretLarge"), (REFUSE_BYTES + 1, "SecretTooLarge")],
)
def test_size_guard(size, reason):
    """Exactly the limit passes; beyond the first it is said, beyond the second refused, with the name and a remedy."""
    output = unified_secret(template("coder"), configuration(a="x" * size), Material())
    assert [problem.reason for problem in output.problems] == ([reason] if reason else [])
    assert (output.secret is None) == (reason == "SecretTooLarge")
    assert all("coder-egress" in problem.message and "fewer" in problem.message for problem in output.problems)


def test_redacted_values_compare():
    """Equality is of the bytes, length too."""
    assert Redacted(b"a") == Redacted(b"a") != Redacted(b"b")
    assert len(Redacted(b"abc")) == 3
