"""Why a rule matched, in the rule's own words: the conditions of the first entry of `match` that holds. For who reads audit events."""

from collections.abc import Iterable, Iterator

from policy.matching import blocks, matches
from policy.patterns import shown
from policy.program import Match, NamedMatch, Rule
from policy.request import Request
from policy.strings import StringMatch


def matched_criteria(rule: Rule, request: Request) -> list[str]:
    """Empty where it did not match."""
    entry = next((entry for entry in rule.match if matches(entry, request, blocks=blocks(rule))), None)
    return [] if entry is None else list(_words(entry, request))


def _words(entry: Match, request: Request) -> Iterator[str]:
    """Of alternatives those that hold; what does not constrain is not told."""
    yield from (f"host {domain.text}" for domain in entry.domains if domain.matches(request.host))
    if entry.ports:
        yield f"port {request.port}"
    if entry.schemes:
        yield f"scheme {request.scheme}"
    if entry.methods:
        yield f"method {request.method.upper()}"
    spellings = (request.path, request.unescaped_path)
    yield from (f"path {_condition(path.match)}" for path in entry.paths if any(path.match.matches(each) for each in spellings if each))
    yield from _named("header", entry.headers)
    yield from _named("query parameter", entry.query)


def _named(kind: str, conditions: Iterable[NamedMatch]) -> Iterator[str]:
    return (f"{kind} {each.name} {_condition(each.match)}" for each in conditions)


def _condition(match: StringMatch) -> str:
    return f"{match.kind.value} {shown(match.value)}"
