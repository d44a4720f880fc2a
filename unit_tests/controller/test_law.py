"""The law of the controller: whatever users do and whatever fails, it converges to what a fresh start would compute.

Users, hands and failures are drawn by hypothesis and played against the whole controller on the server in memory, on virtual time.
Once faults have ended, the server's state is what a new controller makes of a copy of the users' objects; one more restart writes
nothing; every pod of a template was told of its Secret; and what is not ours is as its owners left it.
"""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.compile.secret import CONTENT_HASH
from controller.nudger import REVISION
from controller.secret_writer import WRITTEN_AT
from daemon.kinds import GLOBAL_PROFILES, NAMESPACES, PODS, PROFILES, SECRETS
from kube.objects import Key, annotations, key_of, labels, uid_of
from unit_tests.controller import law_state
from unit_tests.controller.law_state import State, copied, state, theirs, untouched, values
from unit_tests.controller.law_steps import Play, Step, anything, revive, rules
from unit_tests.controller.raw_objects import global_profile, pod, profile, secret, template
from unit_tests.controller.stage import BY_KIND, OPT_IN, Stage, staged
from unit_tests.kube.virtual import run

WORLD = (
    template("two", labels={"app": "web"}),
    template("one", "team-b"),
    profile("keys", rules=rules("theirs")),
    profile("limits", "team-b", rules=rules("key")),
    global_profile(labels={"app": "web"}, rules=rules("paths")),
    *(secret(namespace=space, annotations={"groyne.dev/grant-to": "*"}) for space in ("team-a", "team-b")),
    pod("one-x", of="one"),
)
QUIET = 1500.0
"""After the last fault: a watch that was opened before rights were taken away (600 s), then the longest back-off, with its spread."""
MODES = ({}, {}, {"opt_in": "all"}, {"namespace": "team-a"}, {"take_over": True})
EXAMPLES = int(os.environ.get("GROYNE_LAW_EXAMPLES", "40"))


@pytest.mark.timeout(60 + 10 * EXAMPLES)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(anything, min_size=1, max_size=25), st.integers(0, 1000), st.sampled_from(MODES), st.booleans())
def test_it_converges_to_what_a_fresh_start_would_compute(steps: list[Step], seed: int, mode: dict, rich: bool) -> None:
    run(converges(steps, seed, mode, rich=rich))


async def converges(steps: list[Step], seed: int, mode: dict, *, rich: bool) -> None:
    async with staged(seed, **mode) as stage:
        play = Play(stage)
        begun(play, rich=rich)
        await stage.start()
        await stage.rest(2.0 if rich else 0.0)
        for step in steps:
            await step(play)
        await quiet(play)
        found, theirs_then = look(play), untouched(stage.server.storage)
        told(stage)
        await restarts_without_a_write(stage)
        assert untouched(stage.server.storage) == theirs_then
        before = last_good(play)
        users = theirs(stage.server.storage)
    async with staged(seed, **mode) as fresh:
        await afresh(fresh, users, before, stage)
        wanted = state(fresh.server.storage, closed=closed(fresh))
    assert different(found, wanted) == {}


def different(found: State, wanted: State) -> State:
    return {name: (found.get(name), wanted.get(name)) for name in {*found, *wanted} if found.get(name) != wanted.get(name)}


def begun(play: Play, *, rich: bool) -> None:
    """Enough for the first step to be about something; or one of all that there can be."""
    stage = play.stage
    stage.opt_in("team-a", "team-b")
    if stage.settings.opt_in == "all":
        stage.bound.add("")
    stage.put(template("one"))
    play.put(profile("limits"), good=True)
    for raw in WORLD if rich else ():
        play.put(raw, good="Profile" in raw["kind"])


async def quiet(play: Play) -> None:
    play.before.clear()
    play.after.clear()
    await revive(play)
    await play.stage.rest(QUIET)
    play.stage.server.storage.collect_garbage()
    forgotten(play)
    await play.stage.rest(QUIET)


def forgotten(play: Play) -> None:
    """What was once in force and stands in no Secret is known to the process alone, until it ends: such profiles leave the stage."""
    storage, kept = play.stage.server.storage, last_good(play)
    for resource in (PROFILES, GLOBAL_PROFILES):
        for key, raw in storage.objects(resource).items():
            if "a..b" in str(raw["spec"]) and uid_of(raw) in play.good and f"{raw['kind']} {key}" not in kept:
                storage.delete(resource, key)


def closed(stage: Stage) -> frozenset[str]:
    if stage.settings.opt_in == "all":
        return frozenset()
    if stage.settings.namespace:
        return frozenset({"team-a", "team-b"}) - ({stage.settings.namespace} & stage.bound)
    named = {key.name for key, raw in stage.server.storage.objects(NAMESPACES).items() if OPT_IN.items() <= labels(raw).items()}
    return frozenset({"team-a", "team-b"}) - (named & stage.bound)


def look(play: Play) -> State:
    return state(play.stage.server.storage, closed=closed(play.stage))


def told(stage: Stage) -> None:
    """Every pod knows the content that its template's Secret has now, or has never seen another."""
    storage = stage.server.storage
    for key, raw in storage.objects(PODS).items():
        secret = storage.get(SECRETS, Key(key.namespace, f"{key.name.partition('-')[0]}-egress"))
        if secret and law_state.ours(secret) and key.namespace not in closed(stage):
            young = REVISION not in annotations(raw) and raw["metadata"]["creationTimestamp"] > annotations(secret)[WRITTEN_AT]
            assert young or annotations(raw).get(REVISION) == annotations(secret)[CONTENT_HASH][:16] + ".2"


async def restarts_without_a_write(stage: Stage) -> None:
    before = len(stage.writes())
    await stage.again()
    await stage.rest(400.0)
    again = stage.writes()[before:]
    assert not again, [(sent.verb, str(sent.resource), str(sent.key), sent.body) for sent in again]


def last_good(play: Play) -> dict[str, dict]:
    """Of profiles that do not compile, the version that a Secret has kept."""
    storage, found = play.stage.server.storage, {}
    uids = {uid_of(raw) for resource in (PROFILES, GLOBAL_PROFILES) for raw in storage.objects(resource).values()}
    for key, raw in storage.objects(SECRETS).items():
        if law_state.ours(raw) and key.namespace not in closed(play.stage):
            kept = law_state.json.loads(values(raw).get("profiles.json", "[]"))
            found |= {f"{each['kind']} {key_of(each)}": each for each in kept if uid_of(each) in uids}
    return found


async def afresh(fresh: Stage, users: list[dict], before: dict[str, dict], stage: Stage) -> None:
    """A profile that does not compile is first what it last was in force, since that is remembered."""
    fresh.bound = stage.bound
    good = [{**raw, "spec": before[name]["spec"]} if (name := f"{raw['kind']} {key_of(raw)}") in before else raw for raw in users]
    copied(good, fresh.server.storage, BY_KIND)
    await fresh.start()
    await fresh.rest()
    for raw in users:
        if raw not in good:
            fresh.put(raw)
    await fresh.rest()
