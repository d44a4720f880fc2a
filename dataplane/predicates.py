"""Predicates of Envoy's matcher API as a small algebra: all, any, not, with constants folded away.

A predicate is True, False, or Envoy's JSON form. Constants never reach Envoy: what is always true needs no condition,
what is never true needs no entry.
"""

from collections.abc import Iterable

from dataplane.xds import Resource, header_input, text
from policy.strings import MatchKind, StringMatch

Predicate = Resource | bool


def all_of(predicates: Iterable[Predicate]) -> Predicate:
    kept: list[Resource] = []
    for predicate in predicates:
        if predicate is False:
            return False
        if isinstance(predicate, dict):
            kept.append(predicate)
    if not kept:
        return True
    return kept[0] if len(kept) == 1 else {"and_matcher": {"predicate": kept}}


def any_of(predicates: Iterable[Predicate]) -> Predicate:
    kept: list[Resource] = []
    for predicate in predicates:
        if predicate is True:
            return True
        if isinstance(predicate, dict) and predicate not in kept:
            kept.append(predicate)
    if not kept:
        return False
    return kept[0] if len(kept) == 1 else {"or_matcher": {"predicate": kept}}


def negation(predicate: Predicate) -> Predicate:
    return not predicate if isinstance(predicate, bool) else {"not_matcher": predicate}


def header(name: str, **value_match: object) -> Predicate:
    return {"single_predicate": {"input": header_input(name), "value_match": value_match}}


def header_regex(name: str, pattern: str) -> Predicate:
    """`pattern` is a full match."""
    return header(name, **regex(pattern))


def header_matches(name: str, match: StringMatch) -> Predicate:
    return header(name, **value_match(match))


def regex(pattern: str) -> Resource:
    return {"safe_regex": {"google_re2": {}, "regex": pattern}}


def value_match(match: StringMatch) -> Resource:
    match match.kind:
        case MatchKind.EXACT:
            return {"exact": text(match.value)}
        case MatchKind.PREFIX:
            return {"prefix": text(match.value)}
        case MatchKind.REGEX:
            return regex(match.full_pattern)
