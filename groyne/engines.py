"""Which rules Envoy does not carry out alone, and why, in words: for `check` and `explain`."""

from collections.abc import Iterable, Iterator

from policy.program import AliyunForm, Engine, ProviderRef, Rule

MOST = 10


def why_extproc(rule: Rule) -> str:
    """Empty for a rule that Envoy carries out."""
    return " and ".join(_reasons(rule))


def _reasons(rule: Rule) -> Iterator[str]:
    if rule.exchange and isinstance(rule.exchange.source, ProviderRef):
        yield "a provider issues its credential"
    if rule.exchange and isinstance(rule.exchange.form, AliyunForm):
        yield "it signs requests"
    if rule.audit:
        yield "it tells of requests"


def extproc_lines(rules: Iterable[Rule]) -> list[str]:
    """One line a rule, of many the first."""
    named = [f"{rule.id}: for ext-proc, because {why_extproc(rule)}" for rule in rules if rule.engine is Engine.EXTPROC]
    return named if len(named) <= MOST else [*named[:MOST], f"and {len(named) - MOST} more rules for ext-proc"]
