"""Values that are equal in many profiles, kept once: profiles of a fleet differ in whom they select more than in what they say.

In: a profile as it was compiled. Out: an equal one, whose parts are those that were seen before. A bounded number of parts is
remembered; where profiles have nothing in common nothing is gained, and little is lost.
"""

from collections.abc import Hashable
from dataclasses import replace
from sys import intern
from typing import TypeVar

from policy.program import Match, Profile, Rule

MOST = 4096

Value = TypeVar("Value", bound=Hashable)


class Sharing:
    def __init__(self) -> None:
        self._seen: dict[Hashable, Hashable] = {}

    def profile(self, profile: Profile) -> Profile:
        ref = replace(profile.ref, namespace=intern(profile.ref.namespace))
        return replace(profile, ref=ref, rules=tuple(self._rule(replace(rule, profile=ref)) for rule in profile.rules))

    def _rule(self, rule: Rule) -> Rule:
        return replace(
            rule,
            name=intern(rule.name),
            match=self._once(tuple(self._match(entry) for entry in rule.match)),
            block=self._once(rule.block),
            mcp=self._once(rule.mcp),
            headers=self._once(rule.headers),
            token=self._once(rule.token),
            exchange=self._once(rule.exchange),
            audit=self._once(rule.audit),
        )

    def _match(self, entry: Match) -> Match:
        return self._once(replace(entry, domains=tuple(self._once(domain) for domain in entry.domains)))

    def _once(self, value: Value) -> Value:
        if len(self._seen) >= MOST:
            self._seen.clear()
        return self._seen.setdefault(value, value)  # type: ignore[return-value]
