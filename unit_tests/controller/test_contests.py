"""An object that is fought over is told on the template or profile that people look at."""

import pytest

from controller.contests import Contests
from daemon.kinds import NETWORK_POLICIES, SECRETS, TEMPLATES
from kube.objects import Key, key_of
from kube.store import Store
from policy.program import ProfileRef
from unit_tests.controller.raw_objects import profile, template


@pytest.mark.parametrize(
    ("item", "on", "what"),
    [
        ((NETWORK_POLICIES, Key("team-a", "python-network-policy")), "python", "NetworkPolicy python-network-policy was"),
        ((SECRETS, Key("team-a", "python-egress")), "python", "Secret python-egress was"),
        ((TEMPLATES, Key("team-a", "python")), "python", "SandboxTemplate python was"),
        (ProfileRef(kind="SecurityProfile", namespace="team-a", name="limits"), "limits", "its status was"),
        ((SECRETS, Key("team-b", "python-egress")), None, ""),
        (ProfileRef(kind="SecurityProfile", namespace="team-a", name="gone"), None, ""),
        ("something else", None, ""),
    ],
)
def test_it_is_told_on_what_people_look_at(item, on, what):
    templates, profiles, told = Store(), Store(), []
    templates.put(template("python"))
    profiles.put(profile("limits"))
    contests = Contests(templates=templates, profiles={"SecurityProfile": profiles}, tell=lambda *said: told.append(said))
    contests(item)
    if on is None:
        assert told == []
    else:
        ((about, kind, reason, note),) = told
        assert (key_of(about).name, kind, reason) == (on, "Warning", "Contested")
        assert note.startswith(f"{what} written 2 times a second")
