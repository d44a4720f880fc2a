"""A problem is told when it appears, and once an hour while it lasts."""

import asyncio

from controller import announcer
from controller.announcer import AGAIN_AFTER, Announcer
from crds.problem import Problem
from unit_tests.controller.raw_objects import template
from unit_tests.kube.virtual import run

WRONG = Problem(reason="NameTooLong", message="choose a shorter one", field="metadata.name")


def told(story):
    said = []

    async def play():
        await story(Announcer(lambda about, kind, reason, note: said.append((about["metadata"]["name"], kind, reason, note))))

    run(play())
    return said


def test_the_note_names_the_field():
    async def story(announce):
        announce(template(), WRONG)

    assert told(story) == [("python", "Warning", "NameTooLong", "metadata.name: choose a shorter one")]


def test_what_lasts_is_said_once_an_hour():
    async def story(announce):
        for _ in range(240):
            announce(template(), WRONG)
            await asyncio.sleep(AGAIN_AFTER / 80)

    assert len(told(story)) == 3


def test_another_problem_or_another_object_is_said_at_once():
    async def story(announce):
        announce(template(), WRONG)
        announce(template(), Problem(reason="InvalidRange", message="no"))
        announce(template("other"), WRONG)
        announce(template(uid="made anew"), WRONG)

    assert len(told(story)) == 4


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(announcer, "MOST_KEPT", 3)

    async def story(announce):
        for _ in range(2):
            for number in range(4):
                announce(template(f"t{number}"), WRONG)
        assert len(announce._said) == 3

    assert len(told(story)) == 8
