"""Resolved requests as the stream hands them on: compiled from profiles, walked and finished by the policy itself."""

from collections import Counter

from extproc.identity import Caller
from extproc.stream import Resolved
from policy.compile import compile_program
from policy.finish import finish
from policy.normalise import normalise
from policy.program import Engine, Identity
from policy.walk import walk
from unit_tests.policy.profiles import model
from unit_tests.policy.requests import raw

CALLER = Caller(identity=Identity(namespace="default", labels=(("app", "agent"),)), pod="pod-0", address="10.0.0.9")


def resolved(*rules, path="/", authority="h.test", status=200, caller=CALLER, issued=None, **more):
    """`issued` by rule name: what a credential's source gave."""
    request = {key: more.pop(key) for key in ("method", "headers", "body") if key in more}
    result = compile_program([model(*rules, **more)], engines=frozenset(Engine))
    assert result.program.profiles, result.problems
    selection = result.program.select(caller.identity)
    seen = normalise(raw(path, authority, **request))
    walked = walk(selection.rules, seen)
    verdict = finish(selection, walked, seen, lambda rule: (issued or {}).get(rule.name))
    profile = result.program.profiles[0]
    known = {profile.ref: {each.name: dict(each.inline) for each in profile.inputs if each.config_map is None}}
    return Resolved(
        caller=caller,
        request=seen,
        walked=walked,
        verdict=verdict,
        status=verdict.status or status,
        credentials_failed=tuple(name for name, _ in verdict.failed),
        inputs=known,
    )


def hook(name="a", url="https://audit.test/", *, when=None, timeout=None, **request):
    webhook = {"url": url} | ({"request": request} if request else {}) | ({"timeout": timeout} if timeout else {})
    return {"name": name, "webhook": webhook} | ({"when": when} if when is not None else {})


class Seen:
    """An observer that counts."""

    def __init__(self):
        self.counts = Counter()
        self.most_waiting = 0

    def sent(self):
        self.counts["sent"] += 1

    def unwanted(self):
        self.counts["unwanted"] += 1

    def retried(self):
        self.counts["retried"] += 1

    def dropped(self, reason):
        self.counts[reason.value] += 1

    def waiting(self, events):
        assert events >= 0
        self.most_waiting = max(self.most_waiting, events)

    def logged(self):
        self.counts["logged"] += 1

    def not_logged(self):
        self.counts["not_logged"] += 1
