"""The audit log: one honest line a request, and no reader who can hold anything up."""

import asyncio
import io
import json
import threading
from datetime import UTC, datetime

from extproc.audit.log import AuditLog, entry_of, refused
from extproc.events import Headers
from extproc.identity import Caller, Peer
from policy.program import Identity
from unit_tests.extproc.audit.outcomes import Seen, resolved
from unit_tests.extproc.desks import POD, Desk, sources
from unit_tests.policy.profiles import block, headers, rule, token

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def line(entry):
    return json.loads(entry.line(NOW))


def test_a_line_says_what_became_of_a_request_and_by_whom():
    found = resolved(
        rule("h", headerManipulation=headers(x="1")), rule("t", tokenTransformation=token()),
        path="/a?secret=s3cret", headers=(("x", "s3cret"),), issued={"t": {"apiKey": "s3cret"}},
    )  # fmt: skip
    said = line(entry_of(found))
    assert said == {
        "time": "2026-01-02T03:04:05.678Z", "logger": "audit", "msg": "egress request handled", "pod": "default/pod-0", "template": "", "method": "GET",
        "host": "h.test", "path": "/a", "outcome": "mutated", "status": 200, "reason": "", "rules": ["default/p/h", "default/p/t"],
        "actions": ["headers:default/p/h", "credential:default/p/t"], "failed": [],
    }  # fmt: skip


def test_a_refusal_undoes_what_was_done_before_it():
    said = line(entry_of(resolved(rule("h", headerManipulation=headers(x="1")), rule("b", block=block(451)))))
    assert (said["outcome"], said["status"], said["reason"], said["actions"]) == ("blocked", 451, "Blocked", ["block:default/p/b"])


def test_a_credential_that_was_not_to_be_had_is_an_error_or_a_failure_beside():
    said = line(entry_of(resolved(rule("t", tokenTransformation=token()))))
    assert (said["outcome"], said["status"], said["failed"], said["actions"]) == ("error", 503, ["default/p/t"], [])
    said = line(entry_of(resolved(rule("t", tokenTransformation=token(fail="Ignore")))))
    assert (said["outcome"], said["status"], said["failed"], said["actions"]) == ("passthrough", 200, ["default/p/t"], [])


def test_a_bypass_and_a_rule_that_does_nothing():
    said = line(entry_of(resolved(rule("n"), rule("p", bypass=True))))
    assert (said["outcome"], said["rules"], said["actions"]) == ("bypassed", ["default/p/n", "default/p/p"], ["bypass:default/p/p"])


def test_what_no_rule_spoke_of_has_no_line():
    assert entry_of(resolved(rule("r", ["other.test"]))) is None


def test_a_refused_identity_is_a_refusal():
    lines = ((":method", "GET"), (":authority", "h.test"), (":path", "/a?token=s3cret"), ("authorization", "s3cret"))
    entry = refused(Headers(lines=lines), reason="IdentityUnknown", status=403)
    said = line(entry)
    assert (said["outcome"], said["status"], said["reason"], said["host"], said["path"], said["pod"]) == (
        "blocked", 403, "IdentityUnknown", "h.test", "/a", "",
    )  # fmt: skip
    assert "s3cret" not in entry.line(NOW)


def test_a_line_of_a_sidecar_names_its_template():
    """Its pods are not told apart; half a name of one would be none."""
    sidecar = Caller(identity=Identity(namespace="team"), template="team/coder")
    nameless = Caller(identity=Identity(namespace="team"))
    known = Caller(identity=Identity(namespace="team"), template="team/coder", pod="pod-0")
    found = [line(entry_of(resolved(rule("b", block=block()), namespace="team", caller=each))) for each in (sidecar, nameless, known)]
    assert [(said["pod"], said["template"]) for said in found] == [("", "team/coder"), ("team/", ""), ("team/pod-0", "team/coder")]


def test_what_could_not_be_read_is_named_by_its_headers():
    """And by whose it was: without its query, and without what else it carries."""
    lines = ((":method", "GET"), (":authority", "bad host"), (":path", "/a?token=s3cret"), (":scheme", "https"), ("cookie", "s3cret"))
    desk = Desk(sources(rule("b", block=block())))
    sent = Headers(lines=lines, attributes=POD)
    machine = desk.admit(sent, Peer())
    machine.on(sent)
    entry = entry_of(machine.resolved())
    assert (entry.pod, entry.method, entry.host, entry.path) == ("default/pod-0", "GET", "bad host", "/a")
    assert (entry.outcome, entry.status, entry.reason) == ("blocked", 400, "MalformedHost")
    assert "s3cret" not in entry.line(NOW)


def test_whatever_a_client_sends_stays_on_one_line():
    entry = refused(Headers(lines=((":path", "/a\n{\u2028" + "x" * 9000), (":method", "\x00" * 99))), reason="MalformedPath", status=400)
    text = entry.line(NOW)
    assert text.isascii()
    assert text.count("\n") == 1
    assert len(text) < 4000


def test_lines_come_in_order_and_the_end_waits_for_them():
    out, seen = io.StringIO(), Seen()
    log = AuditLog(out, seen, clock=lambda: NOW)
    for number in range(100):
        log.write(refused(Headers(lines=()), reason=str(number), status=400))
    log.write(None)
    asyncio.run(log.close(5))
    assert [json.loads(text)["reason"] for text in out.getvalue().splitlines()] == [str(number) for number in range(100)]
    assert seen.counts == {"logged": 100}


class Stuck(io.StringIO):
    def __init__(self):
        super().__init__()
        self.held = threading.Event()

    def write(self, text):
        self.held.wait(30)
        return super().write(text)


def test_a_reader_who_reads_no_more_costs_lines_and_no_time():
    out, seen = Stuck(), Seen()
    log = AuditLog(out, seen, clock=lambda: NOW, capacity=10)
    for _ in range(50):
        log.write(refused(Headers(lines=()), reason="x", status=400))
    assert seen.counts["not_logged"] >= 39
    asyncio.run(log.close(0.1))
    out.held.set()


def test_a_reader_who_is_gone_is_counted():
    out, seen = io.StringIO(), Seen()
    out.close()
    log = AuditLog(out, seen, clock=lambda: NOW)
    log.write(refused(Headers(lines=()), reason="x", status=400))
    asyncio.run(log.close(5))
    assert seen.counts == {"not_logged": 1}
