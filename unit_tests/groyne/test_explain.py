"""What `explain` answers: a request goes the way that it takes through Envoy, and each refusal looks as the client sees it."""

import json

import pytest

from groyne.explain import Explainer
from groyne.explain_input import parse_request
from groyne.output import Exit
from groyne.resolve_option import parse_pins
from policy.request import RawRequest
from unit_tests.groyne.written import VALUE, read, workspace
from unit_tests.policy.profiles import block, headers, manifest, rule, token

API = [{"domains": ["api.test"]}]
KEY = rule("key", match=API, tokenTransformation=token())
NO_ADMIN = rule("no-admin", match=[{"domains": ["api.test"], "paths": [{"type": "Prefix", "value": "/admin"}]}], block=block(451, "No.\n"))
KNOWN = rule("known", match=API, bypass=True)
NOTHING_ELSE = rule("nothing-else", block=block())


@pytest.fixture
def explain(tmp_path):
    """Judges one request under these rules."""

    def judge(*rules, request="GET https://api.test/", header=(), body="", resolve=(), **more):
        found = workspace(tmp_path, *rules, **more)
        raw = request if isinstance(request, RawRequest) else parse_request(request, header, body)
        return Explainer(found, parse_pins(resolve)).explain(raw)

    return judge


def test_an_answer_has_the_documented_fields(explain):
    answer = explain(KEY).as_json()
    assert {"verdict", "status", "body", "setHeaders", "removeHeaders", "intercepted", "rules"} <= answer.keys()
    assert answer["rules"] == [
        {
            "profile": "default/p", "rule": "key", "matched": True, "acted": True, "engine": "native",
            "why": "credential default/openai[apiKey] in authorization",
        }
    ]  # fmt: skip
    assert json.loads(json.dumps(answer)) == answer


def test_what_no_rule_touches_passes(explain):
    found = explain(request="GET https://api.test/")
    answer = found.as_json()
    assert (answer["verdict"], answer["status"], answer["body"], answer["intercepted"]) == ("passthrough", None, None, False)
    assert found.exit_code is Exit.OK


def test_a_credential_is_hidden_unless_it_is_asked_for(explain):
    found = explain(KEY, rule("more", match=API, headerManipulation=headers("x-old", x_sent_by="agent")))
    assert found.as_json()["verdict"] == "mutated"
    assert found.as_json()["setHeaders"] == {"authorization": "***", "x-sent-by": "agent"}
    assert found.as_json()["removeHeaders"] == ["x-old"]
    assert found.as_json(reveal=True)["setHeaders"]["authorization"] == f"Bearer {VALUE}"
    assert VALUE not in json.dumps(found.as_json())


def test_a_block_answers_with_the_rules_own_words(explain):
    found = explain(KEY, NO_ADMIN, request="GET https://api.test/admin/x")
    answer = found.as_json()
    assert (answer["verdict"], answer["status"], answer["body"], answer["intercepted"]) == ("blocked", 451, "No.\n", True)
    assert answer["setHeaders"] == {}
    assert found.exit_code is Exit.REFUSED


def test_a_block_without_words_answers_with_the_standard_body(explain):
    answer = explain(rule("plain", block=block()), request="GET http://other.test/a?secret=b").as_json()
    body = json.loads(answer["body"])
    assert (body["host"], body["method"], body["path"], body["rule"]) == ("other.test", "GET", "/a", "plain")
    assert (body["profile"], body["reason"]) == ("default/p", "Blocked")


def test_a_host_that_is_blocked_by_name_is_refused_at_its_connect(explain):
    """Nothing inside TLS is seen, so what is quoted is what the client asked the proxy."""
    answer = explain(KEY, KNOWN, NOTHING_ELSE, request="GET https://evil.test/x?y").as_json()
    body = json.loads(answer["body"])
    assert (body["host"], body["method"], body["path"], body["rule"]) == ("evil.test:443", "CONNECT", "", "nothing-else")
    assert (answer["verdict"], answer["status"], answer["intercepted"]) == ("blocked", 403, False)
    assert [rule["rule"] for rule in answer["rules"]] == ["key", "known", "nothing-else"]


def test_a_bypass_keeps_the_credential(explain):
    answer = explain(KEY, KNOWN, NOTHING_ELSE).as_json()
    assert (answer["verdict"], answer["setHeaders"]) == ("bypassed", {"authorization": "***"})


def test_a_block_by_name_comes_before_what_is_judged_inside(explain):
    """The tunnel is refused before a path is known."""
    answer = explain(NO_ADMIN, rule("all", match=API, block=block(410, "gone")), request="GET https://api.test/admin").as_json()
    assert (answer["status"], answer["body"], answer["intercepted"]) == (410, "gone", False)


def test_a_missing_credential_is_503_and_blames_no_rule(explain):
    answer = explain(KEY, key=False).as_json()
    assert (answer["verdict"], answer["status"], answer["reason"]) == ("blocked", 503, "CredentialUnavailable")
    assert json.loads(answer["body"])["rule"] == ""
    assert "is missing" in answer["rules"][0]["why"]


def test_trace_gets_no_credential_and_is_told_why(explain):
    answer = explain(KEY, request="TRACE https://api.test/").as_json()
    assert (answer["verdict"], answer["setHeaders"]) == ("passthrough", {})
    assert answer["rules"][0]["why"] == "credential withheld: method echoes headers"
    assert (answer["rules"][0]["matched"], answer["rules"][0]["acted"]) == (True, False)


def test_a_tool_that_is_not_allowed_is_refused_by_name(explain):
    policy = {"defaultAction": "deny", "rules": [{"method": "tools/call", "toolNames": ["read"], "action": "allow"}]}
    tools = rule("tools", match=API, mcpToolPolicy=policy)
    call = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%s"}}'
    version = ["MCP-Protocol-Version: 2025-06-18"]
    denied = explain(tools, request="POST https://api.test/mcp", header=version, body=call % "delete").as_json()
    assert (denied["status"], denied["reason"]) == (403, "ToolDenied")
    assert "'delete' is not allowed" in denied["rules"][0]["why"]
    assert explain(tools, request="POST https://api.test/mcp", header=version, body=call % "read").exit_code is Exit.OK


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("authority", ["user@api.test", "api.test:", "api.test:80:80", "", "127.1", "a b", "api.test:99999", "-.1"])
def test_a_host_that_is_none_is_400(explain, scheme, authority):
    found = explain(KEY, request=RawRequest(method="GET", scheme=scheme, authority=authority, path="/"))
    answer = found.as_json()
    assert (answer["verdict"], answer["status"], answer["reason"], answer["rules"]) == ("blocked", 400, "MalformedHost", [])
    assert answer["detail"]
    assert found.exit_code is Exit.REFUSED


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (RawRequest(method="GET", scheme="https", authority="api.test", path="/a%2fb"), "EscapedSlash"),
        (RawRequest(method="GET", scheme="https", authority="api.test", path="/a b"), "MalformedPath"),
        (RawRequest(method="get", scheme="https", authority="api.test", path="/"), "MalformedMethod"),
        (RawRequest(method="GET", scheme="https", authority="api.test", path="/", headers=(("Host", "b.test"),)), "MalformedHost"),
        (RawRequest(method="GET", scheme="https", authority="api.test", path="/", headers=(("a", "b\nc"),)), "MalformedHeader"),
    ],
)
def test_what_can_be_read_in_two_ways_is_400_inside_too(explain, request_, reason):
    answer = explain(KEY, request=request_).as_json()
    assert (answer["status"], answer["reason"], answer["intercepted"]) == (400, reason, True)


def test_nobody_minds_the_path_of_what_is_passed_through_unread(explain):
    answer = explain(request=RawRequest(method="GET", scheme="https", authority="api.test", path="/a%2fb")).as_json()
    assert (answer["verdict"], answer["intercepted"]) == ("passthrough", False)


def test_another_host_inside_the_tunnel_is_misdirected(explain):
    inside = RawRequest(method="GET", scheme="https", authority="api.test", path="https://other.test/")
    answer = explain(KEY, request=inside).as_json()
    assert (answer["status"], answer["reason"]) == (421, "HostMismatch")


def test_a_connect_is_judged_by_host_and_port_alone(explain):
    opened = explain(KEY, KNOWN, NOTHING_ELSE, request="CONNECT api.test:443").as_json()
    assert (opened["verdict"], opened["intercepted"], opened["setHeaders"]) == ("bypassed", True, {})
    refused = explain(KEY, KNOWN, NOTHING_ELSE, request="CONNECT evil.test:8443").as_json()
    assert (refused["status"], json.loads(refused["body"])["host"]) == (403, "evil.test:8443")


@pytest.mark.parametrize("path", ["", "/", "api.test:443"])
def test_a_connect_names_its_target_in_the_authority_or_the_path(explain, path):
    request = RawRequest(method="CONNECT", scheme="https", authority="api.test:443", path=path)
    assert explain(KEY, request=request).as_json()["verdict"] == "passthrough"


def test_a_connect_needs_a_port(explain):
    assert explain(KEY, request="CONNECT api.test").as_json()["reason"] == "MalformedHost"


def test_what_no_certificate_can_name_is_refused(explain):
    everywhere = rule("stamp", headerManipulation=headers(a="1"))
    answer = explain(everywhere, request="GET https://any.test/").as_json()
    assert (answer["status"], answer["reason"], answer["intercepted"]) == (403, "InterceptionUnavailable", False)
    assert explain(everywhere, request="GET http://any.test/").as_json()["verdict"] == "mutated"


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "https://10.1.2.3/", "https://[::1]/", "http://169.254.169.254/latest"])
def test_a_private_address_is_refused_unless_it_is_allowed(explain, url):
    answer = explain(request=f"GET {url}").as_json()
    assert (answer["status"], answer["reason"]) == (403, "AddressRefused")
    host = url.split("/")[2]
    port = 443 if url.startswith("https") else 80
    allowed = f"{host}:{port}:{host.strip('[]')}"
    assert explain(request=f"GET {url}", resolve=[allowed]).as_json()["verdict"] == "passthrough"


def test_a_host_of_the_resolve_option_is_reached_on_its_ports_only(explain):
    pinned = ["api.test:8443:127.0.0.1"]
    assert explain(request="GET https://api.test:8443/", resolve=pinned).as_json()["verdict"] == "passthrough"
    for url in ("https://api.test/", "http://api.test/"):
        assert explain(request=f"GET {url}", resolve=pinned).as_json()["reason"] == "AddressRefused"


def test_values_beyond_ascii_are_shown_as_they_were_written(explain):
    stamped = rule("stamp", match=API, headerManipulation=headers(x_name="Zoë"))
    blocked = rule("no", match=[{"domains": ["api.test"], "methods": ["DELETE"]}], block=block(403, "Kein Zugriff für Agenten"))
    assert explain(blocked, stamped).as_json()["setHeaders"] == {"x-name": "Zoë"}
    assert explain(blocked, stamped, request="DELETE https://api.test/").as_json()["body"] == "Kein Zugriff für Agenten"


def test_a_condition_on_bytes_that_are_no_utf8_is_judged_by_the_bytes(explain):
    raw_byte = rule(
        "raw", match=[{"domains": ["api.test"], "headers": [{"name": "x", "type": "Regex", "value": "^\\xe9$"}]}], block=block()
    )
    assert explain(raw_byte, header=["x: \udce9"]).exit_code is Exit.REFUSED
    assert explain(raw_byte, header=["x: é"]).exit_code is Exit.OK


def test_intercepted_says_because_of_which_rules(explain):
    answer = explain(NO_ADMIN, KEY, KNOWN).as_json()
    assert answer["interceptedBecause"] == ["default/p/no-admin", "default/p/key"]


def test_a_namespaced_passthrough_leaves_a_global_rule_its_sight(tmp_path):
    no_delete = rule("no-delete", match=[{"domains": ["api.test"], "methods": ["DELETE"]}], block=block())
    everybodys = manifest(no_delete, name="all", kind="GlobalSecurityProfile", priority=1)
    found = read(tmp_path, everybodys, manifest(annotations={"groyne.dev/passthrough-domains": "*"}))
    answer = Explainer(found, parse_pins(())).explain(parse_request("DELETE https://api.test/", (), "")).as_json()
    assert (answer["verdict"], answer["interceptedBecause"]) == ("blocked", ["all/no-delete"])


@pytest.mark.parametrize(
    ("host", "reached"), [("a.api.test", True), ("b.a.api.test", False), ("x.named.api.test", True), ("c.b.named.api.test", False)]
)
def test_a_wildcards_certificate_names_one_label(explain, host, reached):
    """A rule means any depth, a client's TLS does not: it refuses what it is shown, and nobody answers."""
    deep = rule("key", match=[{"domains": ["*.api.test", "*.named.api.test"]}], tokenTransformation=token())
    found = explain(deep, request=f"GET https://{host}/")
    answer = found.as_json()
    assert answer["intercepted"]
    assert (answer["verdict"], answer["reason"]) == (("mutated", "") if reached else ("blocked", "CertificateCannotName"))
    assert (answer["status"], answer["body"], bool(answer["detail"])) == (None, None, not reached)
    assert found.exit_code is (Exit.OK if reached else Exit.REFUSED)
    assert explain(deep, request=f"GET http://{host}/").as_json()["verdict"] == "mutated"


def issued(name="vault", **more):
    source = {"credentialProvider": {"name": "vault"}}
    return rule(name, **more, tokenTransformation={"credentialRef": source, "apiKey": {"valueTemplate": "Bearer {{ .Token }}"}})


def test_what_a_provider_would_issue_is_not_asked_for(explain):
    """Nothing is sent: the credential is named, and its value stays unknown even where values are shown."""
    answer = explain(issued(match=[{"domains": ["api.test"]}])).as_json(reveal=True)
    assert (answer["verdict"], answer["setHeaders"]) == ("mutated", {"authorization": "Bearer ***"})
    [told] = answer["rules"]
    assert (told["engine"], "provider vault" in told["why"]) == ("extproc", True)
