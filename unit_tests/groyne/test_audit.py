"""Lines of Envoy's log become records: what came through, what did not, by which rule and why, and never a value."""

import io
import json
from datetime import UTC, datetime

import pytest

from groyne.audit import Audit, Record, Summary, record_of, records, refused_at_the_door

RULE = "default/policy/rule"


def line(**more):
    """A request that was forwarded, as Envoy logs it."""
    usual = {
        "time": "2026-01-02T03:04:05.678Z", "scheme": "https", "method": "GET", "authority": "api.test", "path": "/x", "status": 200,
        "route": '["passed"]', "acted": None, "details": "via_upstream", "flags": "-", "id": None, "ms": 7,
    }  # fmt: skip
    return {**usual, **more}


def inner(**more):
    """A connection that came through a CONNECT."""
    usual = {
        "time": "2026-01-02T03:04:05.678Z", "tunnel": "api.test", "port": "443", "route": '["tunnel", "pass"]', "sni": "api.test",
        "chain": "tls", "details": None, "flags": "-", "tls": None, "handshake": None, "ms": 7,
    }  # fmt: skip
    return {**usual, **more}


def one(found, credentials=None) -> Record:
    record = record_of(found, credentials or {})
    assert record is not None
    return record


def test_a_forwarded_request():
    record = one(line())
    assert (record.verdict, record.status, record.host, record.path, record.milliseconds) == ("passthrough", 200, "api.test", "/x", 7)
    assert (record.rules, record.credentials, record.reason) == ((), (), "")


def test_a_request_that_rules_changed_names_them_and_the_credential():
    acted = json.dumps({"groyne.slot.0": f"credential:{RULE}", "groyne.slot.1": f"headers:default/policy/other\nheaders:{RULE}"})
    record = one(line(acted=acted), {RULE: "default/key[apiKey]"})
    assert (record.verdict, record.rules) == ("mutated", (RULE, "default/policy/other"))
    assert record.credentials == ("default/key[apiKey]",)


def test_a_request_that_a_rule_refused():
    record = one(line(route=f'["blocked", "{RULE}", "ToolDenied"]', status=403, id="1"))
    assert (record.verdict, record.rules, record.reason, record.request_id) == ("blocked", (RULE,), "ToolDenied", "1")


def test_a_bypassed_request_names_what_changed_it_and_what_let_it_by():
    record = one(line(route='["bypassed", "p/by"]', acted=json.dumps({"s": f"headers:{RULE}"})))
    assert (record.verdict, record.rules) == ("bypassed", (RULE, "p/by"))


@pytest.mark.parametrize(
    ("details", "status", "reason"),
    [
        ("dns_resolution_failure{cares_failure}", 403, "AddressRefused"),
        ("failed_to_inject_credential", 503, "CredentialUnavailable"),
        ("upgrade_failed", 403, "UpgradeRefused"),
        ("lua_response", 421, "HostMismatch"),
        ("lua_response", 400, "MalformedRequest"),
    ],
)
def test_what_is_refused_after_a_route_was_chosen_was_not_let_by(details, status, reason):
    acted = json.dumps({"s": f"credential:{RULE}"})
    record = one(line(route='["bypassed", "p/by"]', details=details, status=status, acted=acted), {RULE: "key"})
    assert (record.verdict, record.reason, record.rules, record.credentials) == ("blocked", reason, (), ())


@pytest.mark.parametrize(
    ("details", "status", "reason"),
    [
        ("http1.codec_error", 400, "MalformedRequest"),
        ("request_header_timeout", 408, "RequestTimeout"),
        ("http1.headers_too_large", 431, "RequestTooLarge"),
        ("http1.too_many_headers", 431, "RequestTooLarge"),
        ("low_version", 426, "MalformedRequest"),
    ],
)
def test_what_never_became_a_request(details, status, reason):
    record = one(line(route=None, details=details, status=status, method=None, authority=None, path=None))
    assert (record.verdict, record.reason, record.method, record.host) == ("blocked", reason, "", "")


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ("upstream_reset_before_response_started{remote_connection_failure}", "UpstreamUnreachable"),
        ("http1.codec_error", "MalformedBody"),
        ("codec_error:x", "MalformedBody"),
        ("via_upstream", ""),
    ],
)
def test_what_went_wrong_on_the_way_is_no_refusal(details, reason):
    record = one(line(details=details, status=503))
    assert (record.verdict, record.reason) == ("passthrough", reason)


def asked(**decided):
    """A request that ext-proc decided; the metadata is what it said."""
    return line(route='["extproc"]', decided=decided or None)


def test_what_ext_proc_decided_is_recorded_as_its_decision():
    acted = f"headers:{RULE}\ncredential:{RULE}"
    record = one(asked(verdict="mutated", rule="", acted=acted), {RULE: "provider vault"})
    assert (record.engine, record.verdict, record.rules, record.credentials) == ("extproc", "mutated", (RULE,), ("provider vault",))
    assert one(asked(verdict="passthrough", rule="")).verdict == "passthrough"
    assert one(line()).engine == "native"


def test_what_ext_proc_refused_names_the_rule_and_the_reason():
    record = one(asked(verdict="blocked", rule=RULE, reason="ToolDenied"))
    assert (record.verdict, record.rules, record.reason) == ("blocked", (RULE,), "ToolDenied")
    nobody = one(asked(verdict="blocked", rule="", reason="MissingIdentity"))
    assert (nobody.verdict, nobody.rules, nobody.reason) == ("blocked", (), "MissingIdentity")


def test_what_ext_proc_let_by_names_the_rule():
    record = one(asked(verdict="bypassed", rule="p/by", acted=f"headers:{RULE}"))
    assert (record.verdict, record.rules) == ("bypassed", (RULE, "p/by"))


@pytest.mark.parametrize(
    "details",
    [
        "ext_proc_error_gRPC_error_14{upstream_connect_error}", "ext_proc_error_per-message_timeout_exceeded",
        "rbac_access_denied_matched_policy[none]", "header_mutation_set_headers_failed",
    ],
)  # fmt: skip
def test_without_a_decision_nothing_was_sent(details):
    """Whatever it may have said before."""
    for found in (asked(), asked(verdict="mutated", rule="", acted=f"headers:{RULE}")):
        record = one({**found, "details": details, "status": 503})
        assert (record.verdict, record.rules, record.reason, record.engine) == ("blocked", (), "ExtProcUnavailable", "extproc")


@pytest.mark.parametrize("decided", [[], "x", {"verdict": None}, {"verdict": 7, "rule": []}])
def test_an_odd_decision_is_not_a_crash(decided):
    assert one(line(route='["extproc"]', decided=decided)).engine == "extproc"


def test_an_admitted_connect_has_no_record_a_refused_one_has():
    assert record_of(line(method="CONNECT", route='["tunnel", "pass"]'), {}) is None
    assert record_of(line(method="CONNECT", route='["tunnel", "intercept", "p/by"]'), {}) is None
    assert one(line(method="CONNECT", route=f'["blocked", "{RULE}", "Blocked"]', status=403)).verdict == "blocked"
    assert one(line(method="CONNECT", route='["tunnel", "pass"]', status=503)).status == 503


def test_end_to_end_tls_and_raw_bytes_have_one_record():
    record = one(inner())
    assert (record.verdict, record.scheme, record.method, record.host, record.status) == (
        "passthrough",
        "https",
        "CONNECT",
        "api.test:443",
        200,
    )
    record = one(inner(chain="raw", route='["tunnel", "pass", "p/by"]', tls="TLS_error|error:100000f7:SSL_routines:WRONG_VERSION_NUMBER"))
    assert (record.verdict, record.scheme, record.rules) == ("bypassed", "tcp", ("p/by",))


def test_an_ipv6_address_is_written_as_an_authority():
    assert one(inner(tunnel="2001:db8::1")).host == "[2001:db8::1]:443"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"details": "rbac_access_denied_matched_policy[none]"}, "ServerNameMismatch"),
        ({"details": "rbac_access_denied_matched_policy[none]", "chain": "raw"}, "NotJudgeable"),
        ({"chain": None, "flags": "NR"}, "NotJudgeable"),
        ({"chain": None, "tls": "TLS_error|error:10000085:SSL_routines:CONNECTION_REJECTED"}, "NotJudgeable"),
        ({"flags": "UH"}, "AddressRefused"),
        (
            {"route": '["tunnel", "intercept"]', "tls": "TLS_error:|1:SSL_routines:UNSUPPORTED_PROTOCOL"},
            "HandshakeFailed",
        ),
        ({"route": '["tunnel", "intercept"]', "tls": "TLS_error:|1:SSL_routines:TLSV1_ALERT_UNKNOWN_CA"}, "ClientRefusedCertificate"),
        ({"route": '["tunnel", "intercept"]', "details": "transport socket timeout was reached"}, "HandshakeTimeout"),
    ],
)
def test_a_connection_that_was_refused_says_why(more, reason):
    record = one(inner(**{"route": '["tunnel", "pass", "p/by"]', **more}))
    assert (record.verdict, record.status, record.reason, record.rules) == ("blocked", 0, reason, ())


@pytest.mark.parametrize(
    "more",
    [
        {"chain": "http"},
        {"chain": None},
        {"route": '["tunnel", "intercept"]', "handshake": 20},
        {"route": '["tunnel", "intercept"]', "handshake": 20, "tls": "TLS_error:|1:SSL_routines:BAD_RECORD"},
        {"route": '["tunnel", "intercept"]', "tls": "TLS_error:|33554536:system_library:Connection_reset_by_peer"},
    ],
    ids=["HTTP in the clear", "nothing was said", "intercepted", "intercepted and broken off", "the client left in the handshake"],
)
def test_a_connection_whose_requests_speak_for_it_has_no_record(more):
    assert record_of(inner(**more), {}) is None


def test_a_host_that_cannot_be_reached_is_no_refusal():
    record = one(inner(flags="UF,URX", route='["tunnel", "pass", "p/by"]'))
    assert (record.verdict, record.status, record.reason, record.rules) == ("bypassed", 0, "UpstreamUnreachable", ("p/by",))


def test_a_connection_that_was_refused_unread():
    record = refused_at_the_door("NotHttp1", datetime(2026, 1, 2, 3, 4, 5, 6_789, tzinfo=UTC))
    assert (record.time, record.verdict, record.reason) == ("2026-01-02T03:04:05.006Z", "blocked", "NotHttp1")


@pytest.mark.parametrize("acted", ["x", "[]", "1", "null", '{"s": 1}', '{"s": "no rule"}'])
def test_an_odd_list_of_actions_is_not_a_crash(acted):
    assert one(line(acted=acted)).rules == ()


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "1", '{"chain":', "null"])
def test_a_line_that_is_no_object_is_passed_over(text):
    assert list(records([text, json.dumps(line())], {})) == [one(line())]


@pytest.mark.parametrize("route", [None, "", "x", "[]", "{}", "1", '["tunnel"]', "[[]]"])
def test_an_odd_route_name_is_not_a_crash(route):
    record_of(line(route=route), {})
    record_of(inner(route=route), {})


def test_a_record_is_one_line_of_ascii():
    text = one(line(path='/x\n{"verdict":"passthrough"}\u2028\x1b[2J\x80')).as_json()
    assert text.isascii()
    assert "\n" not in text
    assert json.loads(text)["verdict"] == "passthrough"


def test_the_log_is_followed_also_through_half_lines():
    log, out = io.StringIO(), io.StringIO()
    audit = Audit(log, out)
    text = json.dumps(line()) + "\n"
    for piece in (text[:30], text[30:] + text[:10], text[10:]):
        at = log.tell()
        log.write(piece)
        log.seek(at)
        audit.catch_up({})
    assert len(out.getvalue().splitlines()) == 2
    assert audit.summary.rows[("api.test", "passthrough")].requests == 2


def test_records_from_elsewhere_are_counted_and_written():
    out = io.StringIO()
    audit = Audit(io.StringIO(), out)
    audit.add(refused_at_the_door("TooManyConnections", datetime(2026, 1, 1, tzinfo=UTC)))
    assert json.loads(out.getvalue())["reason"] == "TooManyConnections"
    assert audit.summary.refused == 1


def test_the_summary_is_bounded():
    summary = Summary(most=2)
    for number in range(5):
        summary.add(one(line(authority=f"host{number}.test")))
    assert {row["host"]: row["requests"] for row in summary.as_json()} == {"host0.test": 1, "host1.test": 1, "(other hosts)": 3}
