"""What a person hears of an edit, and which open tunnels it ends."""

import asyncio
from types import SimpleNamespace

import pytest

from dataplane.compile import make_plan
from groyne import edits
from groyne.edits import changed, outdated, report_problems, take_effect
from groyne.workspace import Who
from unit_tests.groyne.test_edits import Run
from unit_tests.groyne.written import VALUE, read, secret, workspace, write
from unit_tests.policy.profiles import block, headers, manifest, rule, token

API = [{"domains": ["api.test"]}]
PASS = manifest(rule("a", match=API, bypass=True))
BLOCK = manifest(rule("a", match=API, block=block()))
BAD = manifest(rule("bad", match=[{"domains": ["a b"]}], block=block()))
INSIDE = rule("inside", match=[{"domains": ["api.test"], "paths": [{"type": "Exact", "value": "/x"}]}], block=block())


@pytest.fixture
def running(tmp_path):
    return lambda *objects: Run(tmp_path, *objects, who=Who())


def said(capsys):
    return capsys.readouterr().err.splitlines()


def test_an_edit_is_told_and_the_tunnels_that_it_blocks_are_closed(running, capsys):
    run = running(PASS)
    run.edit(BLOCK)
    assert said(capsys) == ["groyne: the edited policy is in force"]
    (judge,) = run.tunnels.asked
    assert judge("api.test", 443)
    assert not judge("other.test", 443)


def test_an_edit_that_means_the_same_is_not_told(running, capsys):
    run = running(PASS)
    write(run.policy, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}}, file="foreign.yaml")
    run.edit(PASS)
    assert said(capsys) == []


def test_a_broken_edit_is_reported_with_its_place_and_changes_nothing(running, capsys):
    run = running(BLOCK)
    run.edit(BAD)
    first, *rest = said(capsys)
    assert first.startswith(f"{run.policy}/policy.yaml:1: error: SecurityProfile default/p spec.rules[0].match[0].domains[0]: ")
    assert rest == ["groyne: the edit has problems: what does not compile keeps its last good version in force"]
    assert run.rules == ["a"]


def test_a_broken_edit_that_is_taken_back_is_told_to_be_well_again(running, capsys):
    run = running(BLOCK)
    run.edit(BAD)
    said(capsys)
    run.edit(BLOCK)
    assert said(capsys) == ["groyne: the edited policy is in force"]


def test_nothing_is_closed_where_envoy_does_not_take_the_edit(running):
    run = running(PASS)
    run.proxy.takes = False
    run.edit(BLOCK)
    assert run.tunnels.asked == []


def test_files_that_an_edit_makes_secret_are_hidden_at_once(running):
    run, hidden = running(PASS), []
    added = write(run.policy, secret(apiKey=VALUE), file="more.yaml")
    asyncio.run(take_effect(run.session, run.tunnels, hidden.extend))
    assert hidden == [added]


def test_only_what_is_new_is_told(tmp_path, capsys):
    missing = rule("key", match=API, tokenTransformation=token())
    before = workspace(tmp_path, missing, key=False)
    after = workspace(tmp_path, missing, rule("second", match=API, tokenTransformation=token("other")), key=False)
    report_problems(before, after)
    (line,) = said(capsys)
    assert "default/other" in line
    report_problems(after, after)
    assert said(capsys) == []


def test_a_rotated_credential_is_a_change(tmp_path):
    uses = manifest(rule(match=API, tokenTransformation=token()))
    before = read(tmp_path, uses, secret(apiKey="one"))
    assert changed(before, read(tmp_path, uses, secret(apiKey="two")))
    assert not changed(before, read(tmp_path, uses, secret(apiKey="one")))


@pytest.mark.parametrize(
    ("before", "after", "closed"),
    [
        ([], [], False),
        ([], [rule(match=API, block=block())], True),
        ([], [rule(match=[{"domains": ["api.test"], "ports": [8443]}], block=block())], False),
        ([], [INSIDE], True),
        ([INSIDE], [], True),
        ([INSIDE], [INSIDE, rule("stamp", match=API, headerManipulation=headers(a="1"))], False),
        ([INSIDE], [rule("all", match=API, bypass=True), INSIDE], True),
        ([rule(match=[{"domains": ["other.test"]}], bypass=True)], [rule(match=[{"domains": ["other.test"]}], block=block())], False),
    ],
)
def test_a_tunnel_is_closed_where_it_may_not_go_on_as_it_is(tmp_path, before, after, closed):
    """Its host is blocked now, or must be read from now on, or need not be any more."""
    plans = [make_plan(workspace(tmp_path, *rules).selection) for rules in (before, after)]
    assert outdated(*plans, "api.test", 443) is closed


def test_an_edit_that_fails_for_the_worlds_reasons_ends_nothing(monkeypatch, capsys):
    """A full disk is told; the next edit is taken."""
    taken = []

    async def twice(_, *, since):
        yield
        yield

    async def fails_once(*_):
        taken.append(1)
        if len(taken) == 1:
            raise OSError(28, "x", "/run/rds.json")

    monkeypatch.setattr(edits, "edits", twice)
    monkeypatch.setattr(edits, "take_effect", fails_once)
    asyncio.run(edits.obey_edits(SimpleNamespace(spec=SimpleNamespace(directory=None), seen=None), None, None))
    assert len(taken) == 2
    assert said(capsys) == ["groyne: the edit did not take effect: /run/rds.json: No space left on device"]
