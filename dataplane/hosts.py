"""Rules seen from one host pattern: which patterns get a virtual host, and which rules each of them carries.

Envoy gives a request to the most specific virtual host only. So each pattern that a rule names gets one, and carries, in
program order, every rule entry whose own pattern covers it; a pattern that does not cover it is either disjoint or more
specific, and then has a virtual host of its own (design decision 13).
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from policy.domains import DomainPattern
from policy.program import Match, Rule

ANY = DomainPattern(text="*")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRule:
    """One rule with those of its entries that speak of the host at hand."""

    rule: Rule
    entries: tuple[Match, ...]

    def for_scheme(self, scheme: str) -> "HostRule | None":
        entries = tuple(entry for entry in self.entries if not entry.schemes or scheme in entry.schemes)
        return HostRule(rule=self.rule, entries=entries) if entries else None


class RuleIndex:
    """Finds the rules that cover a pattern without looking at those that do not."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._entries: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for rule_number, rule in enumerate(rules):
            for entry_number, entry in enumerate(rule.match):
                for domain in entry.domains:
                    self._entries[domain.text].append((rule_number, entry_number))

    @property
    def patterns(self) -> tuple[DomainPattern, ...]:
        """Every pattern that a rule names, `*` included always, in order of text."""
        return tuple(DomainPattern(text=text) for text in sorted({*self._entries, "*"}))

    def covering(self, pattern: DomainPattern) -> tuple[HostRule, ...]:
        found: dict[int, set[int]] = defaultdict(set)
        for text in covering_texts(pattern):
            for rule_number, entry_number in self._entries.get(text, ()):
                found[rule_number].add(entry_number)
        return tuple(
            HostRule(rule=self._rules[number], entries=tuple(self._rules[number].match[entry] for entry in sorted(found[number])))
            for number in sorted(found)
        )


def covering_texts(pattern: DomainPattern) -> Iterable[str]:
    """The spellings of all patterns that cover `pattern`, itself included."""
    yield pattern.text
    if pattern.is_any:
        return
    yield "*"
    if pattern.is_ip:
        return
    labels = pattern.text.removeprefix("*.").split(".")
    for start in range(1, len(labels)):
        yield "*." + ".".join(labels[start:])


def virtual_host_domain(pattern: DomainPattern) -> str:
    """As Envoy writes it: IPv6 in brackets."""
    return f"[{pattern.text}]" if ":" in pattern.text else pattern.text
