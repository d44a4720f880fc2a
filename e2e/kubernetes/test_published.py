"""What other projects publish works beside Groyne: their kinds as they define them, and manifests in the shapes of their examples.

The manifests in `published/` are written for this test. With GROYNE_PUBLISHED_EXAMPLES=DIRECTORY the same is done with what is found in
there instead, CRDs first: a checkout of agent-sandbox, of OpenKruise agents, or a directory that holds both. What is expected is worked
out here from the documents, and by the API server, which completes a NetworkPolicy of the same rules.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import Cluster, ControlPlane
from e2e.kubernetes import publications
from e2e.kubernetes.controller_process import ACCOUNT, NAMESPACE, ROOT, established, install, running
from e2e.kubernetes.publications import Publication, Raw
from e2e.kubernetes.schemas import narrower
from e2e.kubernetes.team import Team, data
from e2e.support.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
THEIRS = os.environ.get("GROYNE_PUBLISHED_EXAMPLES")
PUBLISHED = Path(THEIRS) if THEIRS else Path(__file__).parent / "published"
OURS = ROOT / "kustomize"
EXAMPLES = publications.publications(PUBLISHED, everything=not THEIRS)
TEMPLATES = "sandboxtemplates.extensions.agents.x-k8s.io"
JUDGEMENTS = (("True", "Accepted"), ("False", "EngineUnavailable"))
QUIET_SECONDS = 4.0
PRIVATE = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"}
ROUTER = {
    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "agent-sandbox-system"}},
    "podSelector": {"matchLabels": {"app": "sandbox-router"}},
}


@pytest.fixture(scope="module")
def installed(breakable: ControlPlane, tmp_path_factory: pytest.TempPathFactory):
    """The kinds are there first, as their owners define them where we have that; then the overlay for such clusters."""
    breakable.apply(*definitions(OURS, PUBLISHED).values())
    established(breakable)
    before = generations(breakable)
    install(breakable, "beside-others")
    with running(breakable, tmp_path_factory.mktemp("published") / "replica.log") as replica:
        yield breakable
        assert "Traceback" not in replica.said(), replica.said()
    assert generations(breakable) == before, "nothing of theirs was changed"


def definitions(*places: Path) -> dict[str, Raw]:
    """Of several places the last one's, without a conversion, which would be a webhook of the owner's: what is tried here means the same in every version."""
    found: dict[str, Raw] = {}
    for place in places:
        found |= publications.crds(place)
    if len(found["SandboxTemplate"]["spec"]["versions"]) == 1:
        found["SandboxTemplate"] = publications.in_both_versions(found["SandboxTemplate"])
    for each in found.values():
        each["spec"].pop("conversion", None)
        each["metadata"] = {"name": each["metadata"]["name"], "annotations": {"api-approved.kubernetes.io": "unapproved, a test"}}
    return found


def generations(cluster: Cluster) -> dict[str, int]:
    return {each["metadata"]["name"]: each["metadata"]["generation"] for each in cluster.get("crds")["items"]}


@pytest.mark.parametrize("example", EXAMPLES, ids=[each.name for each in EXAMPLES])
def test_it_has_the_policies_secrets_and_status_that_it_asks_for(installed: ControlPlane, example: Publication):
    team = Team(installed, f"example-{EXAMPLES.index(example)}")
    installed.kubectl("create", "namespace", team.namespace)
    team.opt_in()
    documents = [located(each, team.namespace) for each in example.documents]
    for each in documents:
        apply(installed, each)
    profiles = [each for each in documents if each["kind"] in ("SecurityProfile", "GlobalSecurityProfile")]
    for each in documents:
        if each["kind"] == "SandboxTemplate":
            check_policy(team, each)
    for each in profiles:
        check_status(team, each)


def located(raw: Raw, namespace: str) -> Raw:
    head = {name: value for name, value in raw["metadata"].items() if name in ("name", "labels", "annotations")}
    return {**raw, "metadata": head if raw["kind"] == "GlobalSecurityProfile" else {**head, "namespace": namespace}}


def apply(cluster: Cluster, raw: Raw) -> None:
    """As kubectl sends it. What the owner's own schema refuses is no example of anything."""
    answer = cluster.kubectl("apply", "--filename", "-", input=json.dumps(raw), check=False)
    if any(word in answer for word in ("is invalid", "BadRequest", "error validating", "strict decoding")) and THEIRS:
        pytest.skip(f"its owner's schema refuses it: {answer.strip()[:300]}")
    assert any(word in answer for word in ("created", "configured", "unchanged")), answer


def check_policy(team: Team, raw: Raw) -> None:
    name = raw["metadata"]["name"]
    labelled = team.wait("sandboxtemplate", name, lambda found: found["metadata"].get("labels"))
    if raw["spec"].get("networkPolicyManagement") == "Unmanaged":
        assert team.get("networkpolicy", f"{name}-network-policy") is None
        return
    found = team.wait("networkpolicy", f"{name}-network-policy")
    assert found["metadata"]["ownerReferences"][0]["uid"] == labelled["metadata"]["uid"]
    selector = found["spec"]["podSelector"]["matchLabels"]
    assert selector.items() <= labelled["metadata"]["labels"].items()
    rules = raw["spec"].get("networkPolicy")
    if rules is None:
        check_built_in(found["spec"])
    else:
        given = {way: rules[way] for way in ("ingress", "egress") if rules.get(way)}
        assert found["spec"] == completed(
            team, {"podSelector": found["spec"]["podSelector"], "policyTypes": ["Ingress", "Egress"], **given}
        )


def check_built_in(spec: dict[str, Any]) -> None:
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == [{"from": [ROUTER]}]
    blocks = {peer["ipBlock"]["cidr"]: set(peer["ipBlock"]["except"]) for rule in spec["egress"] for peer in rule["to"]}
    assert blocks.keys() == {"0.0.0.0/0", "::/0"}
    assert blocks["0.0.0.0/0"] >= PRIVATE
    assert blocks["::/0"] >= {"fc00::/7", "fe80::/10"}


def completed(team: Team, spec: Raw) -> Raw:
    """As the API server would keep it."""
    head = {"name": "compare", "namespace": team.namespace}
    raw = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": head, "spec": spec}
    said = team.cluster.kubectl("create", "--dry-run=server", "--output=json", "--filename", "-", input=json.dumps(raw))
    made: Raw = json.loads(said)["spec"]
    return made


def check_status(team: Team, raw: Raw) -> None:
    """Accepted; or told that it takes an ext-proc, which does not run here."""
    team.wait(raw["kind"].lower(), raw["metadata"]["name"], lambda found: accepted(found) in JUDGEMENTS, "is judged")


def accepted(raw: Raw) -> tuple[str, str]:
    found = [(each["status"], each["reason"]) for each in raw.get("status", {}).get("conditions", []) if each["type"] == "Accepted"]
    return found[0] if found else ("", "")


if THEIRS:

    @pytest.mark.parametrize("kind", sorted(publications.KINDS))
    def test_where_we_bring_the_definition_it_takes_what_the_owners_takes(kind: str):
        """But for rules between fields. A profile without a spec means nothing, and more rules than 16 384 are too many to store."""
        theirs, ours = publications.crds(PUBLISHED).get(kind), definitions(OURS)[kind]
        if theirs is None:
            pytest.skip(f"no definition of {kind} there")
        known = {each["name"]: each["schema"]["openAPIV3Schema"] for each in ours["spec"]["versions"]}
        found = {
            said for each in theirs["spec"]["versions"] for said in narrower(each["schema"]["openAPIV3Schema"], known.get(each["name"]), "")
        }
        assert found <= {": requires ['spec']", ".spec.rules: maxItems 16384"}

else:

    def test_profiles_and_a_pool_of_the_examples_meet(installed: ControlPlane):
        """The template's Secret has the rules and the key, and the policy holds for a pod that waits in the pool."""
        team = Team(installed, "example-together")
        installed.kubectl("create", "namespace", team.namespace)
        team.opt_in()
        for example in EXAMPLES:
            for each in example.documents:
                apply(installed, located(each, team.namespace))
        assert len(EXAMPLES) == len(list(PUBLISHED.iterdir()))
        for template, domains in {
            "plain": ("models.example.com", "api.example.com"),
            "ready-made": ("models.example.com", "tracker.example"),
        }.items():
            secret = team.wait("secret", f"{template}-egress")
            text = json.dumps(data(secret))
            assert all(domain in text for domain in domains), template
            assert "example-model-key" in text
        assert team.get("secret", "isolated-kernel-egress") is None
        selector = team.wait("networkpolicy", "ready-made-network-policy")["spec"]["podSelector"]["matchLabels"]
        assert selector.items() <= team.get("pod", "pool-x7k2p")["metadata"]["labels"].items()
        for name in ("house-rules", "keys"):
            team.condition(name, "ResolvedRefs", "True", "ResolvedRefs")
            team.condition(name, "Programmed", "True", "Distributed")


def test_then_there_is_quiet(installed: ControlPlane):
    """What an owner's schema lacks and the server therefore prunes is not written again and again."""
    until(lambda: quiet(installed), "nothing is written for some seconds", 60)


def quiet(cluster: ControlPlane) -> bool:
    before = writes(cluster)
    time.sleep(QUIET_SECONDS)
    return writes(cluster) == before


def writes(cluster: ControlPlane) -> int:
    """The controller's, but for its Lease and its Events."""
    account = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
    return sum(call.writes and call.user == account and call.resource not in ("leases", "events") for call in cluster.audit())
