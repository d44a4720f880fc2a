"""What may happen to a controller, step by step, drawn by hypothesis: what users do, what hands do to our objects, and what fails.

A step is a function of the `Play`, with a name that a failed example shows. Those that find nothing to act upon do nothing.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from daemon.kinds import GLOBAL_PROFILES, NAMESPACES, NETWORK_POLICIES, NODES, PODS, PROFILES, SECRETS, SERVICE_CIDRS, TEMPLATES
from kube.errors import Unavailable
from kube.objects import Key, Raw, Resource, uid_of
from policy.template_hashes import HASH_LABEL, name_hash
from unit_tests.controller import law_state
from unit_tests.controller.raw_objects import global_profile, profile, rule, template
from unit_tests.controller.stage import OPT_IN, Stage, namespace
from unit_tests.kube.fake_server import Fault, Sent, refusal

WRITES = ("create", "update", "patch", "delete")
FAULTS: dict[str, Callable[[], Fault]] = {
    "500": lambda: refusal(500),
    "409": lambda: refusal(409, "Conflict"),
    "429": lambda: refusal(429, retry_after=1),
    "silence": lambda: 60.0,
    "cut": lambda: Unavailable("cut"),
}


@dataclass
class Play:
    """`before` and `after` are faults that wait for the next request that they are meant for; `good` are profiles that compiled once."""

    stage: Stage
    before: list[tuple[Callable[[Sent], bool], Callable[[], Fault]]] = field(default_factory=list)
    after: list[Callable[[], Fault]] = field(default_factory=list)
    good: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.stage.fault, self.stage.server.after = self.failing, self.losing

    def failing(self, sent: Sent) -> Fault:
        for number, (meant, fault) in enumerate(self.before):
            if meant(sent):
                del self.before[number]
                return fault()
        return None

    def losing(self, sent: Sent, _answer: object) -> Fault:
        return self.after.pop(0)() if self.after and sent.verb in WRITES else None

    def put(self, raw: Raw, *, good: bool = False) -> None:
        uid = uid_of(self.stage.put(raw))
        self.good |= {uid} if good else set()

    def edit(self, resource: Resource, key: Key, change: Callable[[Raw], Raw]) -> None:
        storage = self.stage.server.storage
        if (live := storage.get(resource, key)) and law_state.ours(live):
            storage.update(resource, key, change(live))

    def drop(self, resource: Resource, key: Key, *, only: Callable[[Raw], bool] = lambda raw: True) -> None:
        storage = self.stage.server.storage
        if (live := storage.get(resource, key)) and only(live):
            storage.delete(resource, key)
            storage.collect_garbage()

    def die(self) -> float:
        self.stage.die()
        return 1000.0


@dataclass(frozen=True)
class Step:
    """`pause` is the time that passes before the next one."""

    name: str
    do: Callable[[Play], Awaitable[None] | None] = field(repr=False)
    pause: float = 0.0

    async def __call__(self, play: Play) -> None:
        done = self.do(play)
        if done is not None:
            await done
        await asyncio.sleep(self.pause)


def steps(name: str, make: Callable[..., Any], /, **choices: Any) -> st.SearchStrategy[Step]:
    """`make` gives the function of the play for one choice."""

    def step(pause: float, **chosen: Any) -> Step:
        return Step(f"{name} {' '.join(map(str, chosen.values()))}".strip(), make(**chosen), pause)

    return st.builds(step, st.sampled_from(PAUSES), **{key: st.sampled_from(each) for key, each in choices.items()})


PAUSES = (0.0, 0.0, 0.06, 0.3, 2.0, 40.0)
SPACES = ("team-a", "team-a", "team-b")
TEMPLATE_NAMES = ("one", "two")
LABELLED = ("agent", "agent", "web")
RULES: dict[str, Any] = {
    "plain": [rule()],
    "other": [rule(domain="other.example.com")],
    "paths": [{"name": "paths", "match": [{"domains": ["inside.example.com"], "paths": ["/private"]}], "actions": {"block": {}}}],
    "broken": [rule(domain="a..b")],
}
KINDS = (*RULES, "key", "theirs", "broken")


def rules(kind: str) -> list[Raw]:
    if kind in RULES:
        return list(RULES[kind])
    named = {"name": "key", **({"namespace": "team-b"} if kind == "theirs" else {})}
    token = {"credentialRef": {"secret": named}, "apiKey": {"valueTemplate": "Bearer {{ .Token }}"}}
    return [rule("key", tokenTransformation=token)]


def template_step(space: str, name: str, label: str, managed: str) -> Callable[[Play], None]:
    return lambda play: play.put(template(name, space, labels={"app": label}, networkPolicyManagement=managed))


def profile_step(space: str, name: str, label: str, kind: str) -> Callable[[Play], None]:
    return lambda play: play.put(profile(name, space, labels={"app": label}, rules=rules(kind)), good=kind != "broken")


def global_step(label: str, kind: str) -> Callable[[Play], None]:
    return lambda play: play.put(global_profile(labels={"app": label}, rules=rules(kind)), good=kind != "broken")


def secret_step(space: str, value: str, grant: str) -> Callable[[Play], None]:
    data = {} if value == "none" else {"apiKey": base64.b64encode(value.encode()).decode()}
    head = {"name": "key", "namespace": space, "annotations": {"groyne.dev/grant-to": grant} if grant else {}}
    return lambda play: play.put({"apiVersion": "v1", "kind": "Secret", "metadata": head, "data": data})


def drop_step(resource: Resource, *names: str) -> st.SearchStrategy[Step]:
    def make(space: str, name: str) -> Callable[[Play], None]:
        key = Key(space if resource.namespaced else "", name)
        return lambda play: play.drop(resource, key, only=lambda raw: not law_state.ours(raw))

    return steps(f"drop {resource}", make, space=SPACES, name=names)


def opt_step(space: str, label: str, bound: str) -> Callable[[Play], None]:
    def do(play: Play) -> None:
        play.put(namespace(space))
        storage, key = play.stage.server.storage, Key("", space)
        live = storage.found(NAMESPACES, key)
        storage.update(NAMESPACES, key, {**live, "metadata": {**live["metadata"], "labels": OPT_IN if label == "labelled" else {}}})
        (play.stage.bound.add if bound == "bound" else play.stage.bound.discard)(space)

    return do


def node_step(name: str, cidr: str) -> Callable[[Play], None]:
    if not cidr:
        return lambda play: play.drop(NODES, Key("", name))
    return lambda play: play.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"podCIDRs": [cidr]}})


def range_step(cidr: str) -> Callable[[Play], None]:
    raw = {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"}, "spec": {"cidrs": [cidr]}}
    return lambda play: play.put(raw) if cidr else play.drop(SERVICE_CIDRS, Key("", "kubernetes"))


def pod_step(space: str, template: str, name: str) -> Callable[[Play], None]:
    head = {"name": f"{template}-{name}", "namespace": space, "labels": {HASH_LABEL: name_hash(template)}}

    def do(play: Play) -> None:
        if play.stage.server.storage.get(PODS, Key(space, head["name"])) is None:
            play.put({"apiVersion": "v1", "kind": "Pod", "metadata": head, "spec": {}})

    return do


def hand_step(space: str, name: str, what: str) -> Callable[[Play], None]:
    secret, authority, policy = (Key(space, name + suffix) for suffix in ("-egress", "-ca", "-network-policy"))
    does: dict[str, Callable[[Play], None]] = {
        "edits a policy": lambda play: play.edit(NETWORK_POLICIES, policy, lambda raw: {**raw, "spec": {**raw["spec"], "egress": [{}]}}),
        "deletes a policy": lambda play: play.drop(NETWORK_POLICIES, policy, only=law_state.ours),
        "edits a Secret": lambda play: play.edit(SECRETS, secret, lambda raw: {**raw, "data": {**raw["data"], "rds-plain.json": "e30="}}),
        "adds to a Secret": lambda play: play.edit(SECRETS, secret, lambda raw: {**raw, "data": {**raw["data"], "more": "e30="}}),
        "empties a Secret": lambda play: play.edit(SECRETS, secret, lambda raw: {**raw, "data": {}}),
        "breaks the CA": lambda play: play.edit(SECRETS, authority, lambda raw: {**raw, "data": {**raw["data"], "ca.crt": "e30="}}),
        "deletes the CA": lambda play: play.drop(SECRETS, authority, only=law_state.ours),
        "deletes a Secret": lambda play: play.drop(SECRETS, secret, only=law_state.ours),
    }
    return does[what]


HANDS = (
    "edits a policy",
    "deletes a policy",
    "edits a Secret",
    "adds to a Secret",
    "empties a Secret",
    "breaks the CA",
    "deletes the CA",
    "deletes a Secret",
)


def stranger_step(space: str, name: str, suffix: str, owned: bool) -> Callable[[Play], None]:
    """Somebody else has an object of the name that ours would have."""

    def do(play: Play) -> None:
        resource = SECRETS if suffix == "-egress" else NETWORK_POLICIES
        storage, key = play.stage.server.storage, Key(space, name + suffix)
        head: Raw = {"name": key.name, "namespace": space}
        owner = storage.get(TEMPLATES, Key(space, name))
        if owned and owner:
            head["ownerReferences"] = [{"kind": "SandboxTemplate", "name": name, "uid": owner["metadata"]["uid"], "controller": True}]
        if storage.get(resource, key) is None:
            body = {"data": {"mine": "eA=="}} if resource is SECRETS else {"spec": {"podSelector": {}, "policyTypes": ["Egress"]}}
            storage.create(resource, {"kind": resource.kind, "metadata": head, **body})

    return do


def fault_step(number: int, about: str, kind: str) -> Callable[[Play], None]:
    meant: dict[str, Callable[[Sent], bool]] = {
        "requests": lambda sent: True,
        "writes": lambda sent: sent.verb in WRITES,
        "Secrets": lambda sent: sent.resource == SECRETS,
    }
    return lambda play: play.before.extend([(meant[about], FAULTS[kind])] * number)


def lost_step(number: int, kind: str) -> Callable[[Play], None]:
    return lambda play: play.after.extend([FAULTS[kind]] * number)


def stream_step(what: str) -> Callable[[Play], None]:
    def do(play: Play) -> None:
        if what in ("compact", "compact and cut"):
            play.stage.server.storage.compact()
        for stream in list(play.stage.server.streams):
            if what != "compact":
                getattr(stream, {"compact and cut": "cut"}.get(what, what))()

    return do


def crash_step(when: str) -> Callable[[Play], Any]:
    if when == "before":
        return lambda play: play.before.append((lambda sent: sent.verb in WRITES, play.die))
    if when == "after":
        return lambda play: play.after.append(play.die)
    return lambda play: play.stage.again() if when == "again" else play.stage.crash()


async def revive(play: Play) -> None:
    if not play.stage.running:
        await play.stage.again()


users = st.one_of(
    steps("template", template_step, space=SPACES, name=TEMPLATE_NAMES, label=LABELLED, managed=("Managed", "Managed", "Unmanaged")),
    steps("profile", profile_step, space=SPACES, name=("limits", "keys"), label=LABELLED, kind=KINDS),
    steps("global", global_step, label=LABELLED, kind=KINDS),
    steps("secret", secret_step, space=SPACES, value=("first", "second", "", "none"), grant=("", "*", "team-a")),
    steps("namespace", opt_step, space=SPACES, label=("labelled", "labelled", "plain"), bound=("bound", "bound", "unbound")),
    steps("node", node_step, name=("n1", "n2"), cidr=("", "93.184.0.0/16", "2001:db8:1::/48")),
    steps("range", range_step, cidr=("", "93.185.0.0/16", "2001:db8:2::/48")),
    steps("pod", pod_step, space=SPACES, template=TEMPLATE_NAMES, name=("x", "y")),
    drop_step(TEMPLATES, *TEMPLATE_NAMES),
    drop_step(PROFILES, "limits", "keys"),
    drop_step(GLOBAL_PROFILES, "house"),
    drop_step(SECRETS, "key", "key", "one-egress", "two-egress"),
    drop_step(NETWORK_POLICIES, "one-network-policy", "two-network-policy"),
)
hands = st.one_of(
    steps("a hand", hand_step, space=SPACES, name=TEMPLATE_NAMES, what=HANDS),
    steps("a stranger", stranger_step, space=SPACES, name=TEMPLATE_NAMES, suffix=("-egress", "-network-policy"), owned=(True, False)),
)
failures = st.one_of(
    steps("fail", fault_step, number=(1, 2, 5), about=("requests", "writes", "Secrets"), kind=tuple(FAULTS)),
    steps("lose", lost_step, number=(1, 3), kind=("500", "silence", "cut")),
    steps("watches", stream_step, what=("cut", "end", "mute", "compact", "compact and cut")),
    steps("crash", crash_step, when=("before", "after", "again", "now")),
    st.builds(lambda pause: Step("revive", revive, pause), st.sampled_from(PAUSES)),
)
anything = st.one_of(users, users, hands, failures)
