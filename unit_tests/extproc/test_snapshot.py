"""What a snapshot knows for an identity and a host, how long it looks for it, and how much it keeps of what was found."""

from time import perf_counter

import pytest

from extproc.snapshot import HOSTS, VIEWS, Recent, SecretData, Snapshot, Sources
from policy.program import ConfigMapRef, Identity, Input, ProfileRef, Program, SecretKeyRef
from unit_tests.extproc.desks import program, sources
from unit_tests.policy.profiles import KEY, block, compiled, model, rule, token

AGENT = Identity(labels=(("app", "agent"),))
INJECTS = rule("key", ["h.test"], tokenTransformation=token())


def names(rules):
    return [each.name for each in rules]


def test_a_view_is_what_the_program_selects():
    """For every namespace and every kind of selector, in the same order."""
    selectors = (
        {},
        {"matchLabels": {"app": "agent"}},
        {"matchLabels": {"app": "other"}},
        {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
        {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]},
        {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["agent"]}]},
        {"matchLabels": {"app": "agent", "tier": "a"}},
    )
    models = [
        model(rule(f"r{number}"), name=f"p{number}", selector=selector, priority=2000 - number, **where)
        for number, (selector, where) in enumerate(
            (selector, where) for selector in selectors for where in ({}, {"namespace": "other"}, {"kind": "GlobalSecurityProfile"})
        )
    ]
    known = Sources(program=program(*models))
    snapshot = Snapshot(known)
    for namespace in ("default", "other", "nowhere", ""):
        for labels in ((), (("app", "agent"),), (("app", "other"),), (("app", "agent"), ("tier", "a"))):
            identity = Identity(namespace=namespace, labels=labels)
            assert snapshot.view(identity).selection == known.program.select(identity)


def test_rules_of_other_hosts_are_not_looked_at():
    """Those of a host are, by its name and by every pattern over it, in order."""
    known = sources(
        *(rule(name, [host]) for name, host in (("a", "h.test"), ("b", "*.test"), ("c", "other.test"), ("d", "*"), ("e", "*.h.test")))
    )
    view = Snapshot(known).view(Identity())
    assert names(view.rules("h.test")) == ["a", "b", "d"]
    assert names(view.rules("x.h.test")) == ["b", "d", "e"]
    assert names(view.rules("1.2.3.4")) == ["d"]
    assert names(view.rules("")) == ["d"]


@pytest.mark.parametrize(("few", "many"), [(10, 10_000)])
def test_a_look_up_takes_as_long_with_ten_thousand_profiles_as_with_ten(few, many):
    """For an identity that was never seen before, and for one that was."""
    found = {count: look_up_times(count) for count in (few, many)}
    for known_before in (False, True):
        assert found[many][known_before] < 4 * found[few][known_before], found


def look_up_times(count):
    """The best of many, which is nobody else's doing."""
    one = compiled(rule("r", ["h.test"], block=block()), selector={"matchLabels": {"app": "a"}})
    requirement = one.selector.requirements[0]
    profiles = tuple(
        type(one)(
            ref=ProfileRef(kind="SecurityProfile", namespace=f"team-{number % 10}", name=f"p{number}"),
            selector=type(one.selector)(
                requirements=(type(requirement)(key="app", operator=requirement.operator, values=(f"a{number}",)),)
            ),
            rules=one.rules,
        )
        for number in range(count)
    )
    snapshot = Snapshot(Sources(program=Program(profiles=profiles)))
    best = {False: 1.0, True: 1.0}
    for number in range(300):
        identity = Identity(namespace=f"team-{number % count % 10}", labels=(("app", f"a{number % count}"), ("n", str(number))))
        for known_before in (False, True):
            began = perf_counter()
            rules = snapshot.view(identity).rules("h.test")
            best[known_before] = min(best[known_before], perf_counter() - began)
            assert len(rules) == 1
    return best


def test_what_is_kept_for_later_is_bounded():
    """Views, and the hosts of all of them together: those asked for last."""
    snapshot = Snapshot(sources(rule("r", ["*"])))
    for number in range(VIEWS + 50):
        snapshot.view(Identity(labels=(("n", str(number)),)))
    assert len(snapshot._views) == VIEWS
    for view in (snapshot.view(Identity()), snapshot.view(AGENT)):
        for number in range(HOSTS):
            view.rules(f"h{number}.test")
        assert len(snapshot._hosts) == HOSTS
    assert names(view.rules("a." * 2000 + "test")) == ["r"]
    assert max(len(host) for _, host in snapshot._hosts) < 300


def test_hosts_of_different_identities_are_not_confused():
    """Though they are kept together."""
    known = Sources(program=program(model(rule("all")), model(rule("agents"), name="q", selector={"matchLabels": {"app": "agent"}})))
    snapshot = Snapshot(known)
    for _ in range(2):
        assert names(snapshot.view(Identity()).rules("h.test")) == ["all"]
        assert names(snapshot.view(AGENT).rules("h.test")) == ["all", "agents"]


def test_what_was_asked_for_lately_is_not_forgotten():
    """And nothing is made twice as long as it is kept."""
    made = []
    recent = Recent(2)
    for key in ("a", "b", "a", "c", "a", "b"):
        recent.find(key, lambda key=key: made.append(key) or key)
    assert made == ["a", "b", "c", "b"]


def test_credentials_are_those_that_a_header_can_hold():
    """Without the line end that `kubectl` leaves; nothing else is changed, and what cannot be sent is none."""
    cases = {b"value": "value", b"value\n": "value", b"": None, b"a\nb": None, b"\xff": None, b" a": None, "é".encode(): "Ã©"}
    for data, value in cases.items():
        view = Snapshot(sources(INJECTS, secrets={"openai": data})).view(Identity())
        assert view.credentials.get(KEY) == value, data


def test_a_credential_that_is_not_there_is_none():
    """The Secret, or its key."""
    assert Snapshot(sources(INJECTS)).view(Identity()).credentials == {}
    known = sources(INJECTS)
    other = Sources(program=known.program, secrets={("default", "openai"): SecretData(data={"other": b"x"})})
    assert Snapshot(other).view(Identity()).credentials == {}


def test_a_secret_that_its_owner_withholds_is_never_used():
    """Pinned to other hosts, or of a namespace that did not grant it: the rule fails as its failStrategy says, others have theirs."""
    pinned = {"groyne.dev/allowed-hosts": "other.test"}
    view = Snapshot(sources(INJECTS, secrets={"openai": b"v"}, secret_annotations=pinned)).view(Identity())
    assert view.credentials == {}
    assert view.selection.rules[0].token.secret.withheld
    allowed = {"groyne.dev/allowed-hosts": "h.test"}
    assert Snapshot(sources(INJECTS, secrets={"openai": b"v"}, secret_annotations=allowed)).view(Identity()).credentials == {KEY: "v"}


def test_another_namespaces_secret_needs_its_grant():
    """Of the owner, to the profile's namespace."""
    taking = token()
    taking["credentialRef"]["secret"]["namespace"] = "owner"
    ref = SecretKeyRef(namespace="owner", name="openai", key="apiKey")
    known = sources(rule("key", ["h.test"], tokenTransformation=taking))
    for annotations, found in (({}, {}), ({"groyne.dev/grant-to": "else"}, {}), ({"groyne.dev/grant-to": "default"}, {ref: "v"})):
        secrets = {("owner", "openai"): SecretData(data={"apiKey": b"v"}, annotations=annotations)}
        assert Snapshot(Sources(program=known.program, secrets=secrets)).view(Identity()).credentials == found


def test_a_global_profile_reads_the_pods_own_secret():
    """Each namespace its own, though the profile is one."""
    known = Sources(
        program=program(model(INJECTS, kind="GlobalSecurityProfile")),
        secrets={(space, "openai"): SecretData(data={"apiKey": space.encode()}) for space in ("a", "b")},
    )
    snapshot = Snapshot(known)
    for space in ("a", "b"):
        assert list(snapshot.view(Identity(namespace=space)).credentials.values()) == [space]
    assert snapshot.view(Identity(namespace="c")).credentials == {}


def test_inputs_are_inline_or_a_config_maps():
    """One that is not there is not known, which is another thing than empty."""
    inputs = (
        Input(name="here", inline=(("a", "1"),)),
        Input(name="there", config_map=ConfigMapRef(namespace="default", name="known")),
        Input(name="nowhere", config_map=ConfigMapRef(namespace="default", name="missing")),
        Input(name="empty", config_map=ConfigMapRef(namespace="default", name="none")),
    )
    one = compiled(rule("r"))
    profile = type(one)(ref=one.ref, selector=one.selector, rules=one.rules, inputs=inputs)
    known = Sources(
        program=Program(profiles=(profile,)), config_maps={("default", "known"): {"b": "2"}, ("default", "none"): {}, ("x", "missing"): {}}
    )
    assert Snapshot(known).view(Identity()).inputs == {one.ref: {"here": {"a": "1"}, "there": {"b": "2"}, "empty": {}}}


def test_values_show_in_no_representation():
    """Of Secrets that decide."""
    known = sources(INJECTS, secrets={"openai": b"never-shown"})
    assert "never-shown" not in repr(known) + repr(known.secrets)
