"""A policy that needs more inotify instances than there are is refused before Envoy aborts over it."""

import asyncio
from pathlib import Path

import pytest

from dataplane.compile import Options
from dataplane.secrets import Layout
from groyne import clock, proxy, watches
from groyne.envoy import EnvoyError
from groyne.proxy import Proxy
from groyne.rundir import RunDirectory
from groyne.trust import Trust
from unit_tests.groyne.written import workspace
from unit_tests.policy.profiles import rule, token

FILES = ["bootstrap.json", "cds.json", "lds.json", "rds-plain.json", "sds-leaf-0.json", "sds-credential-1.json", "sds-credential-2.json"]


@pytest.mark.skipif(watches.sys.platform != "linux", reason="inotify is Linux's")
def test_what_is_tried_is_given_back():
    before = held()
    assert watches.available(3) == 3
    assert held() == before


def held():
    """How many inotify instances this process has."""
    return sum("inotify" in str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink())


def test_each_file_but_the_first_is_watched(monkeypatch):
    """And a few more are left for whoever watches besides."""
    monkeypatch.setattr(watches, "available", lambda wanted: wanted)
    assert watches.shortage(FILES) == ""
    monkeypatch.setattr(watches, "available", lambda wanted: min(wanted, 8))
    assert "needs 9 inotify instances, 2 of them for credentials, and can have 8" in watches.shortage(FILES)
    assert "sysctl fs.inotify.max_user_instances=" in watches.shortage(FILES)


def test_a_start_says_what_is_short_and_starts_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(proxy, "shortage", lambda _: "too few")
    started = made(tmp_path)
    with pytest.raises(EnvoyError, match="too few"):
        asyncio.run(started.start(tmp_path / "no-such-envoy", concurrency=1))


def test_an_edit_that_needs_more_writes_nothing(tmp_path, monkeypatch):
    """Only what it adds is counted: the rest is watched already."""
    found = made(tmp_path)
    found.envoy = object()
    asked = []
    monkeypatch.setattr(proxy, "shortage", lambda files: asked.append(set(files)) or "too few")
    before = {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(EnvoyError, match="too few"):
        found.apply(workspace(tmp_path / "policy", rule(tokenTransformation=token())))
    [[added]] = asked
    assert added.startswith("sds-credential-")
    assert {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()} == before


def made(directory):
    options = Options(layout=Layout(directory=str(directory)), address={}, admin_socket="")
    found = Proxy(directory=RunDirectory(private=directory, public=directory), trust=Trust.fresh(clock.now()), options=options)
    policy = directory / "policy"
    policy.mkdir()
    found.apply(workspace(policy, rule(bypass=True)))
    return found
