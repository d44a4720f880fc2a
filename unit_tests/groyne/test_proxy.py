"""What an edit changes in the files that Envoy reads."""

import asyncio
import json

from dataplane.compile import Options
from dataplane.secrets import Layout
from groyne import clock
from groyne.proxy import Proxy
from groyne.rundir import RunDirectory
from groyne.trust import Trust
from unit_tests.groyne.written import VALUE, workspace
from unit_tests.policy.profiles import rule, token

PLACEHOLDER = "sk-GROYNE000000000000000"


def keyed(tmp_path, *hosts):
    return workspace(tmp_path, rule(match=[{"domains": list(hosts), "schemes": ["https"]}], tokenTransformation=token()))


def test_an_edit_moves_the_hosts_where_a_placeholder_is_at_home(tmp_path):
    def away(host):
        """Whether the placeholder is refused in this host's headers; in its path it always is."""
        table = json.loads((run / "rds-explicit.json").read_text())["resources"][0]
        found = next(each for each in table["virtual_hosts"] if each["name"] == host)
        return json.dumps(found).count(PLACEHOLDER) > 1

    policy, run = tmp_path / "policy", tmp_path / "run"
    policy.mkdir()
    run.mkdir()
    before = keyed(policy, "a.test")
    [credential] = before.credentials.by_name
    proxy = Proxy(
        directory=RunDirectory(private=run, public=run),
        trust=Trust.fresh(clock.now()),
        options=Options(layout=Layout(directory=str(run)), address={}, admin_socket=""),
        placeholders={credential: PLACEHOLDER},
    )
    proxy.apply(before)
    assert (away("a.test"), away("*")) == (False, True)
    proxy.apply(keyed(policy, "a.test", "b.test"))
    assert (away("a.test"), away("b.test")) == (False, False)
    proxy.apply(keyed(policy, "b.test"))
    assert (away("b.test"), away("*")) == (False, True)


class Recorder:
    """A run directory that remembers what was written and removed, in order."""

    def __init__(self):
        self.done = []

    def write(self, name, text):
        self.done.append(f"+{name}")
        self.texts = {**getattr(self, "texts", {}), name: text}

    def remove(self, name):
        self.done.append(f"-{name}")

    def since(self):
        done, self.done = self.done, []
        return done


class Answering:
    """An Envoy whose answers the test sets."""

    def __init__(self, versions, rejected=0):
        self.versions, self.rejected, self.asked = list(versions), rejected, 0

    async def route_versions(self):
        self.asked += 1
        return frozenset(self.versions.pop(0) if len(self.versions) > 1 else self.versions[0])

    async def rejected_updates(self):
        return self.rejected


def recorded(**more):
    recorder = Recorder()
    options = Options(layout=Layout(directory="/run"), address={}, admin_socket="")
    return Proxy(directory=recorder, trust=Trust.fresh(clock.now()), options=options, **more), recorder


def test_the_same_policy_writes_nothing_a_second_time(tmp_path):
    proxy, recorder = recorded()
    proxy.apply(keyed(tmp_path, "a.test"))
    assert {"+bootstrap.json", "+lds.json", "+cds.json", "+rds-explicit.json"} <= set(recorder.since())
    proxy.apply(keyed(tmp_path, "a.test"))
    assert recorder.since() == []


def test_a_changed_rule_is_written_and_nothing_else(tmp_path):
    """Neither listeners nor leafs change, so no open connection is drained."""
    proxy, recorder = recorded()
    refusal = [{"domains": ["a.test"], "paths": [{"type": "Exact", "value": "/x"}]}]
    proxy.apply(workspace(tmp_path, rule(match=refusal, block={"statusCode": 403})))
    recorder.since()
    proxy.apply(workspace(tmp_path, rule(match=refusal, block={"statusCode": 451})))
    written = recorder.since()
    assert written
    assert all(name.startswith("+rds-") for name in written)


def test_secrets_are_there_before_the_routes_that_name_them(tmp_path):
    proxy, recorder = recorded()
    proxy.apply(workspace(tmp_path, rule("other", ["b.test"], bypass=True)))
    recorder.since()
    proxy.apply(keyed(tmp_path, "a.test"))
    written = recorder.since()
    secrets = [number for number, name in enumerate(written) if "sds" in name or "credential" in name]
    routes = [number for number, name in enumerate(written) if name.startswith("+rds-")]
    assert secrets
    assert max(secrets) < min(routes)


def test_what_no_route_names_any_more_is_taken_away_when_envoy_had_its_time(tmp_path):
    proxy, recorder = recorded()
    proxy.apply(keyed(tmp_path, "a.test"))
    recorder.since()
    proxy.apply(workspace(tmp_path, rule("other", ["a.test"], bypass=True)))
    assert not [name for name in recorder.since() if "credential" in name]
    proxy.withdraw()
    assert [name[:16] for name in recorder.since()] == ["+sds-credential-"]


def test_a_value_that_is_gone_is_gone_from_the_directory(tmp_path):
    proxy, recorder = recorded()
    proxy.apply(keyed(tmp_path, "a.test"))
    proxy.apply(workspace(tmp_path, rule(match=[{"domains": ["a.test"], "schemes": ["https"]}], tokenTransformation=token()), key=False))
    proxy.withdraw()
    removed = {name[1:] for name in recorder.done if name.startswith("-")}
    left = [text for name, text in recorder.texts.items() if name not in removed]
    assert VALUE not in "".join(left)


def test_an_edit_is_in_force_once_envoy_obeys_every_table(tmp_path):
    proxy, recorder = recorded()
    proxy.apply(keyed(tmp_path, "a.test"))
    wanted = {json.loads(text)["version_info"] for name, text in recorder.texts.items() if name.startswith("rds-")}
    proxy.envoy = Answering([set(), {"old"}, wanted])
    assert asyncio.run(proxy.in_force())
    assert proxy.envoy.asked >= 3


def test_an_update_that_envoy_rejects_is_not_in_force(tmp_path):
    proxy, recorder = recorded()
    proxy.apply(keyed(tmp_path, "a.test"))
    wanted = {json.loads(text)["version_info"] for name, text in recorder.texts.items() if name.startswith("rds-")}
    proxy.envoy = Answering([wanted], rejected=1)
    assert not asyncio.run(proxy.in_force())
    assert asyncio.run(proxy.in_force())  # what was rejected before is no news


def test_an_update_that_envoy_does_not_take_is_not_in_force(tmp_path, monkeypatch):
    monkeypatch.setattr("groyne.proxy.TAKEN_WITHIN", 0.01)
    proxy, _ = recorded()
    proxy.apply(keyed(tmp_path, "a.test"))
    proxy.envoy = Answering([{"old"}])
    assert not asyncio.run(proxy.in_force())


def test_without_envoy_nothing_is_in_force():
    proxy, _ = recorded()
    assert not asyncio.run(proxy.in_force())
    asyncio.run(proxy.stop())


def test_no_value_is_printed(tmp_path):
    proxy, _ = recorded()
    configuration = proxy.apply(keyed(tmp_path, "a.test"))
    assert VALUE not in repr(proxy) + repr(configuration)
