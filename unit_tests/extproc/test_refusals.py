"""A refusal looks as Envoy's own: the rule's body as text, or the standard JSON with what was refused and why."""

import json

import pytest

from extproc import refusals
from extproc.edge.messages import write
from extproc.events import Headers, Refuse
from policy.refusal import standard_body
from policy.verdict import Outcome, Verdict
from unit_tests.extproc.envoy import pb
from unit_tests.policy.profiles import compiled, rule
from unit_tests.policy.requests import request

RULE = compiled(rule("no-admin")).rules[0]
ASKED = request("/admin?key=never-shown", "h.test:8080", method="POST")
HEADERS = Headers(lines=(("x-groyne-id", "id-1"),))


def refused(**verdict):
    return refusals.by_verdict(Verdict(outcome=Outcome.BLOCKED, **verdict), ASKED, HEADERS, RULE)


@pytest.mark.parametrize(("reason", "named"), [("Blocked", RULE), ("ToolDenied", RULE), ("CredentialUnavailable", None)])
def test_without_a_body_of_the_rule_it_is_the_standard_one(reason, named):
    """Which names the rule where one refused, and not one whose credential is missing."""
    answer = refused(status=403, reason=reason)
    wanted = standard_body(host="h.test:8080", method="POST", path="/admin", reason=reason, rule=named, request_id="id-1")
    assert (answer.status, answer.content_type, answer.body.decode()) == (403, "application/json", wanted)
    assert b"never-shown" not in answer.body


@pytest.mark.parametrize("body", ["no", "", "Ã©"])
def test_a_rules_own_body_is_sent_as_it_is(body):
    """Also one that is empty."""
    answer = refused(status=451, reason="Blocked", body=body)
    assert (answer.status, answer.content_type, answer.body) == (451, "text/plain", body.encode("latin-1"))


def test_without_a_status_it_is_a_refusal_all_the_same():
    """Nothing becomes a 200 for want of a number."""
    assert refused(reason="Blocked").status == 403


def test_what_nobody_judged_is_described_as_far_as_it_can_be_read():
    """Text that is no UTF-8 is replaced, and the query left out."""
    lines = ((":authority", "h.test"), (":method", "GET"), (":path", "/\xff?key=never-shown"), ("x-groyne-id", "id-1"))
    answer = refusals.unread(Headers(lines=lines), "IdentityUnknown", 403)
    said = json.loads(answer.body)
    assert (said["host"], said["path"], said["reason"], said["request_id"]) == ("h.test", "/\ufffd", "IdentityUnknown", "id-1")
    assert "never-shown" not in answer.body.decode()
    assert json.loads(refusals.unread(Headers(lines=()), "BodyNotRead", 503).body)["host"] == ""


def test_it_goes_out_as_an_immediate_response():
    """Not as an error of gRPC's, which a filter may be told to pass over."""
    answer = Refuse(status=503, body=b"b", content_type="text/plain", reason="BodyNotRead", rule="default/p/r")
    found = pb.ProcessingResponse.FromString(write(answer))
    immediate = found.immediate_response
    assert (immediate.status.code, immediate.body, immediate.details) == (503, b"b", "groyne_BodyNotRead")
    (option,) = immediate.headers.set_headers
    assert (option.header.key, option.header.raw_value) == ("content-type", b"text/plain")
    told = found.dynamic_metadata.fields["groyne.dev"].struct_value.fields
    assert {name: value.string_value for name, value in told.items()} == {
        "verdict": "blocked",
        "rule": "default/p/r",
        "reason": "BodyNotRead",
    }
