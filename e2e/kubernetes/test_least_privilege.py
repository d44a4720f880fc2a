"""The controller's rights and its calls are the same: none refused, none granted that is not used.

A control plane of its own, so that its audit log is one life of one controller: it starts, works, hands over and starts again, in two
namespaces that opted in, and everything that it can be brought to do it does once. Refusals that other tests provoke are not in there.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from e2e.cluster import ControlPlane
from e2e.cluster.audit import Call
from e2e.cluster.rights import Right, granted
from e2e.kubernetes.controller_process import ACCOUNT, NAMESPACE, ROOT, install, running
from e2e.kubernetes.team import Team, data, events
from e2e.support.waiting import until
from policy.template_hashes import HASH_LABEL, name_hash
from unit_tests.controller.raw_objects import global_profile, profile, rule, template

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]
USER = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
TEAM = "team-a"
TOKEN = {"credentialRef": {"secret": {"name": "key"}}, "apiKey": {"valueTemplate": "Bearer {{ .Token }}"}}


@pytest.fixture(scope="module")
def calls(breakable: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> list[Call]:
    """All that the controller asked for in its life."""
    work = tmp_path_factory.mktemp("life")
    install(breakable)
    breakable.kubectl("create", "namespace", TEAM)
    team = Team(breakable, TEAM)
    team.opt_in()
    with running(breakable, work / "first.log"):
        life(team)
    with running(breakable, work / "second.log") as second:
        until(lambda: "leading" in second.said(), "the next one leads")
        before = breakable.get("lease", ACCOUNT, "--namespace", NAMESPACE)["metadata"]["resourceVersion"]
        until(lambda: breakable.get("lease", ACCOUNT, "--namespace", NAMESPACE)["metadata"]["resourceVersion"] != before, "a renewal")
    return [call for call in breakable.audit() if call.user == USER]


def life(team: Team) -> None:
    team.apply(pod("agent"), template("python"), profile("limits"), global_profile("house", rules=[rule("house", "house.example.com")]))
    team.wait("secret", "python-egress")
    team.condition("limits", "Programmed", "True", "Distributed")
    team.apply(team.secret("key", apiKey="value"), profile("limits", rules=[rule("key", tokenTransformation=TOKEN)]))
    team.wait("secret", "python-egress", lambda found: "value" in str(data(found)))
    team.wait("pod", "agent", lambda found: "groyne.dev/egress-revision" in found["metadata"].get("annotations", {}))
    said_twice(team)
    team.apply(template("python", networkPolicy={"egress": [{}]}))
    team.wait("networkpolicy", "python-network-policy", lambda found: "ingress" not in found["spec"])
    team.apply(template("python", networkPolicyManagement="Unmanaged"))
    team.gone("networkpolicy", "python-network-policy")
    team.cluster.kubectl("delete", "globalsecurityprofile", "house")
    for name in ("limits", "flapping"):
        team.delete("securityprofile", name)
    team.gone("secret", "python-egress")


def said_twice(team: Team) -> None:
    """A mistake, mended, and made again: of its Event the count is brought up to date."""
    wrong = profile("flapping", rules=[rule(domain="a..b")])
    for _ in range(2):
        team.apply(wrong)
        team.condition("flapping", "Accepted", "False", "InvalidDomain")
        team.apply(profile("flapping"))
        team.condition("flapping", "Accepted", "True", "Accepted")
    until(lambda: "InvalidDomain" in events(team), "an Event")
    until(
        lambda: '"count":2' in team.cluster.kubectl("get", "events.events.k8s.io", "-n", TEAM, "-o", "jsonpath={.items[*].series}"), "twice"
    )


def pod(name: str) -> dict:
    """One of the template's: it finds no node, which its annotations need not."""
    labels = {HASH_LABEL: name_hash("python")}
    spec = {"automountServiceAccountToken": False, "containers": [{"name": "main", "image": "none"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


@pytest.fixture(scope="module")
def rights(breakable: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> frozenset[Right]:
    return frozenset(granted(manifests(breakable, tmp_path_factory.mktemp("team")), ACCOUNT, NAMESPACE))


def manifests(cluster: ControlPlane, work: Path) -> Iterator[dict]:
    """What is installed for the cluster, and what a namespace adds."""
    (work / "kustomization.yaml").write_text(f"namespace: {TEAM}\nresources: [role-binding.yaml]\n")
    (work / "role-binding.yaml").write_text((ROOT / "kustomize" / "namespace" / "role-binding.yaml").read_text())
    for directory in (ROOT / "kustomize" / "overlays" / "default", work):
        yield from YAML(typ="safe").load_all(cluster.kubectl("kustomize", str(directory)))


def test_no_call_was_refused(calls: list[Call]):
    assert [call for call in calls if call.code in (401, 403)] == []


def test_every_call_is_one_that_the_kustomization_allows(calls, rights):
    """By its own rules: not by what a cluster happens to allow everybody."""
    asked = [call for call in calls if call.resource]
    assert {f"{call.verb} {call.path}" for call in asked if not any(right.allows(call) for right in rights)} == set()
    assert {call.verb for call in calls if not call.resource} <= {"get"}


def test_every_right_was_used(calls, rights):
    assert {str(right) for right in rights if not any(right.allows(call) for call in calls)} == set()
