"""How a story on the stage begins, and what is looked at in it."""

from daemon.kinds import PROFILES, SECRETS
from unit_tests.controller.law_state import values
from unit_tests.controller.raw_objects import template
from unit_tests.controller.stage import Stage, staged
from unit_tests.kube.virtual import run

SOON = 2.0


def played(story, **settings):
    async def play():
        async with staged(**settings) as stage:
            return await story(stage)

    return run(play())


async def begun(stage: Stage, *raws):
    """Everything is done and at rest."""
    stage.opt_in("team-a")
    for raw in (template(), *raws):
        stage.put(raw)
    await stage.start()
    await stage.rest()


def egress(stage: Stage, name: str = "python-egress", space: str = "team-a"):
    found = stage.get(SECRETS, name, space)
    return found and values(found)


def holds(stage: Stage, text: str) -> bool:
    return any(text in each for each in (egress(stage) or {}).values())


def condition(stage: Stage, kind: str, name: str = "keys", resource=PROFILES):
    raw = stage.get(resource, name, "team-a" if resource.namespaced else "")
    return next((each["status"], each["reason"]) for each in raw["status"]["conditions"] if each["type"] == kind)


def message(stage: Stage, kind: str, name: str) -> str:
    return next(each["message"] for each in stage.get(PROFILES, name)["status"]["conditions"] if each["type"] == kind)
