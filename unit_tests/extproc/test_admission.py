"""Before a request is judged: there is something to judge it by, and it is known whose it is."""

import base64
import json

import pytest
from prometheus_client import CollectorRegistry

from dataplane.external_protocol import PEER_NAME, PEER_NAMESPACE, SANDBOX_LABELS, SANDBOX_TOKEN, SOURCE_ADDRESS
from extproc.admission import IdentitySource
from extproc.edge.listening import Secured
from extproc.events import Headers, Refuse
from extproc.identity import Peer, SandboxToken
from extproc.run import own_domain
from extproc.snapshot import Pod, Sources
from extproc.stream import Machine
from mtls.keeper import Keeper
from mtls.metrics import TlsMetrics
from mtls.spiffe import Peers
from policy.program import Identity
from unit_tests.extproc.desks import TOKEN as GIVEN
from unit_tests.extproc.desks import Desk, program
from unit_tests.mtls.pki import authority, leaf, wall, write
from unit_tests.policy.profiles import block, model, rule

A, C, M, ADDRESS = IdentitySource.ATTRIBUTES, IdentitySource.CERTIFICATE, IdentitySource.METADATA, IdentitySource.ADDRESS
LINES = ((":method", "GET"), (":authority", "h.test"), (":path", "/a?b=secret"), (":scheme", "http"), ("x-groyne-id", "id-1"))
KNOWN = Sources(
    program=program(model(rule("r", block=block()))),
    templates={("team", "coder"): (("app", "agent"),)},
    pods={"10.0.0.7": Pod(namespace="team", name="pod-7", labels=(("app", "agent"),)), "fd00::7": Pod(namespace="team", name="pod-6")},
)
COPIED = {PEER_NAMESPACE: "team", PEER_NAME: "pod-0"}
TEMPLATE = Peer(spiffe_id="spiffe://cluster.local/ns/team/template/coder")
OWN = Peer(metadata=base64.b64encode(json.dumps({"namespace": "own"}).encode()).decode())


def admitted(identity, attributes=None, peer=None, sources=KNOWN, **how):
    desk = Desk(sources, identity=identity, **how)
    return desk, desk.admit(Headers(lines=LINES, attributes=attributes or {}), peer or Peer())


def test_nothing_is_decided_without_a_snapshot():
    """Before the first: 503, counted, whoever it is."""
    desk, answer = admitted((A,), COPIED, sources=None)
    assert (answer.status, answer.reason) == (503, "NoSnapshot")
    assert desk.value("refusals_total", reason="NoSnapshot") == 1
    assert desk.not_ready()
    desk.swap(Desk(KNOWN).snapshot)
    assert desk.not_ready() is None


def test_each_source_says_whose_it_is():
    """A pod by attributes or address, a template by certificate, an Envoy of one's own by its metadata."""
    labels = (("app", "agent"),)
    cases = (
        ((A,), COPIED, Peer(), Identity(namespace="team"), "pod team/pod-0"),
        ((C,), {}, TEMPLATE, Identity(namespace="team", labels=labels), "template team/coder"),
        ((M,), {}, OWN, Identity(namespace="own"), ""),
        ((ADDRESS,), {SOURCE_ADDRESS: "10.0.0.7:99"}, Peer(), Identity(namespace="team", labels=labels), "pod team/pod-7"),
        ((ADDRESS,), {SOURCE_ADDRESS: "[fd00::7]:99"}, Peer(), Identity(namespace="team"), "pod team/pod-6"),
    )
    for identity, attributes, peer, wanted, name in cases:
        _, machine = admitted(identity, attributes, peer)
        assert isinstance(machine, Machine)
        assert (machine.caller.identity, machine.caller.name) == (wanted, name)


def test_a_pod_known_by_its_address_asks_with_the_token_that_the_gateway_set():
    """A template's certificate holds none, and what is said beside it does not count."""
    said = {SOURCE_ADDRESS: "10.0.0.7:99", SANDBOX_TOKEN: GIVEN}
    assert admitted((ADDRESS,), said)[1].caller.token == SandboxToken(access_token="sandbox-proof", client_id="client-1")
    assert admitted((ADDRESS,), {**said, SANDBOX_TOKEN: "-"})[1].caller.token is None
    assert admitted((C, ADDRESS), said, TEMPLATE)[1].caller.token is None


def test_sources_are_asked_in_order():
    """The first that speaks decides, and one that says nothing is passed over."""
    assert admitted((A, C), COPIED, TEMPLATE)[1].caller.pod == "pod-0"
    assert admitted((C, A), COPIED, TEMPLATE)[1].caller.template == "team/coder"
    assert admitted((A, C), {}, TEMPLATE)[1].caller.template == "team/coder"
    assert admitted((C, A), COPIED, Peer(spiffe_id="spiffe://cluster.local/ns/gw/sa/gateway"))[1].caller.pod == "pod-0"


def test_a_source_that_is_not_named_counts_for_nothing():
    """However well it speaks."""
    for identity, attributes, peer in (
        ((C,), COPIED, Peer()),
        ((A,), {}, TEMPLATE),
        ((A,), {}, OWN),
        ((A,), {SOURCE_ADDRESS: "10.0.0.7:9"}, Peer()),
    ):
        desk, answer = admitted(identity, attributes, peer)
        assert (answer.status, answer.reason) == (403, "IdentityUnknown")
        assert desk.unattributed == [("missing_identity", "deny")]


@pytest.mark.parametrize(
    ("identity", "attributes", "peer", "reason"),
    [
        ((A, C), {PEER_NAME: "pod-0"}, TEMPLATE, "missing_identity"),
        ((A, C), {**COPIED, SANDBOX_LABELS: "%"}, TEMPLATE, "label_decode_failure"),
        ((C, A), COPIED, Peer(spiffe_id="spiffe://cluster.local/ns/team/template/gone"), "unknown_template"),
        ((C, A), COPIED, Peer(spiffe_id="spiffe://other/ns/team/template/coder"), "foreign_trust_domain"),
        ((ADDRESS, A), {**COPIED, SOURCE_ADDRESS: "10.0.0.8:1"}, Peer(), "unknown_address"),
        ((M, A), COPIED, Peer(metadata="%"), "missing_identity"),
    ],
)
def test_a_source_that_speaks_and_cannot_be_understood_is_not_passed_over(identity, attributes, peer, reason):
    """Else whoever spoils one would choose the next."""
    desk, answer = admitted(identity, attributes, peer)
    assert isinstance(answer, Refuse)
    assert desk.unattributed == [(reason, "deny")]


def test_the_trust_domain_is_the_operators_choice():
    """One cluster's template is not the template of the same name in another."""
    there = Peer(spiffe_id="spiffe://other/ns/team/template/coder")
    assert admitted((C,), {}, there, trust_domain="other")[1].caller.template == "team/coder"
    assert admitted((C,), {}, TEMPLATE, trust_domain="other")[1].reason == "IdentityUnknown"


@pytest.mark.parametrize(("ids", "domain"), [(["spiffe://prod.example/ns/g/sa/e"], "prod.example"), ([], "cluster.local")])
def test_without_a_word_of_the_operators_it_is_that_of_the_servers_own_certificate(tmp_path, ids, domain):
    root = authority()
    keeper = Keeper(write(tmp_path, leaf(root, *ids), root), now=wall, metrics=TlsMetrics(CollectorRegistry()))
    assert own_domain(Secured(keeper=keeper, peers=Peers.of(f"spiffe://{domain}/ns/*/template/*"))) == domain
    assert own_domain(None) == "cluster.local"


def test_a_refusal_says_what_was_refused_and_no_query():
    """The standard body; the pod is for the audit log, where it is known."""
    _, answer = admitted((A,), {**COPIED, SANDBOX_LABELS: "%"})
    said = json.loads(answer.body)
    assert (said["host"], said["path"], said["reason"], said["request_id"]) == ("h.test", "/a", "IdentityUnknown", "id-1")
    assert answer.pod == "team/pod-0"
    assert "secret" not in answer.body.decode()


def test_who_nobody_knows_passes_only_where_the_operator_says_so():
    """And then as somebody without labels, for whom profiles without a selector still hold."""
    desk, machine = admitted((A,), {}, allow_unknown=True)
    assert machine.caller.identity == Identity(namespace="")
    assert desk.unattributed == [("missing_identity", "allow")]
    everywhere = Sources(program=program(model(rule("r", block=block()), kind="GlobalSecurityProfile")))
    _, machine = admitted((A,), {}, allow_unknown=True, sources=everywhere)
    assert [each.name for each in machine.view.selection.rules] == ["r"]


def test_who_passes_with_labels_that_nobody_can_read_is_still_of_its_namespace():
    """So profiles for all pods there hold, those for some do not, and providers are asked with its token."""
    there = Sources(
        program=program(
            model(rule("all", block=block()), name="all", namespace="team"),
            model(rule("some", block=block()), name="some", namespace="team", selector={"matchLabels": {"app": "agent"}}),
        )
    )
    _, machine = admitted((A,), {**COPIED, SANDBOX_LABELS: "%", SANDBOX_TOKEN: GIVEN}, allow_unknown=True, sources=there)
    assert machine.caller.identity == Identity(namespace="team")
    assert machine.caller.token == SandboxToken(access_token="sandbox-proof", client_id="client-1")
    assert [each.name for each in machine.view.selection.rules] == ["all"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "spiffe://d",
        "spiffe://d/ns/team/template",
        "spiffe://d/ns/team/sa/coder",
        "spiffe://d/ns/team/template/coder/x",
        "spiffe://d//ns/team/template/coder",
    ],
)
def test_ids_of_others_name_no_template(name):
    """Only the form that the controller's certificates have."""
    desk, answer = admitted((C,), {}, Peer(spiffe_id=name))
    assert answer.reason == "IdentityUnknown"
    assert desk.unattributed == [("missing_identity", "deny")]
