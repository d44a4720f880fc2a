"""Ways to break the compiler or ext-proc on purpose, each a mistake that somebody could make. The differential test must see every one.

Each mutant replaces one function of `dataplane` or `extproc` where it is used; nothing else is touched.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from unittest.mock import patch

from dataplane import guards, hosts, listeners, matching, mutations, predicates, query, routes
from dataplane.entries import Context
from dataplane.predicates import Predicate
from dataplane.xds import Resource
from extproc import stream
from extproc.snapshot import View
from policy.program import Engine
from policy.strings import MatchKind, StringMatch


def case() -> AbstractContextManager[object]:
    """Exact conditions compare without case."""
    real = predicates.value_match

    def broken(match: StringMatch) -> Resource:
        return {**real(match), **({"ignore_case": True} if match.kind is MatchKind.EXACT else {})}

    return patch.object(predicates, "value_match", broken)


def anchoring() -> AbstractContextManager[object]:
    """A regex must match the whole text."""
    real = predicates.value_match

    def broken(match: StringMatch) -> Resource:
        return predicates.regex(match.value) if match.kind is MatchKind.REGEX else real(match)

    return patch.object(predicates, "value_match", broken)


def comma() -> AbstractContextManager[object]:
    """A header condition holds as soon as one element of a list meets it."""
    real = matching.header_matches

    def broken(name: str, match: StringMatch) -> Predicate:
        if match.kind is not MatchKind.EXACT or name.startswith("x-groyne-"):
            return real(name, match)
        value = "".join(rf"\x{{{ord(character):02x}}}" for character in match.value)
        return predicates.header_regex(name, rf"(?:\C*,)?{value}(?:,\C*)?")

    return patch.object(matching, "header_matches", broken)


def order() -> AbstractContextManager[object]:
    """Of several rules that write one header the first wins."""
    real = mutations.slot_plan
    return patch.object(routes, "slot_plan", lambda acting, layout: real(list(reversed(acting)), layout))


def bypass() -> AbstractContextManager[object]:
    """A bypass drops what rules before it changed."""
    real = routes.forwarding

    def broken(condition: Predicate, rule: object, so_far: routes.Pending, context: object) -> object:
        if rule is None:
            return real(condition, None, so_far, context)  # type: ignore[arg-type]
        return real(condition, rule, replace(so_far, acting=[]), context)  # type: ignore[arg-type]

    return patch.object(routes, "forwarding", broken)


def path_with_query() -> AbstractContextManager[object]:
    """Conditions on paths see the query."""
    real = listeners.early_mutation

    def broken() -> Resource:
        return replaced(real(), "%PATH(NQ:PATH)%", "%REQ(:PATH)%")

    return patch.object(listeners, "early_mutation", broken)


def normalisation() -> AbstractContextManager[object]:
    """Duplicate slashes stay."""
    real = listeners.http_manager
    return patch.object(listeners, "http_manager", lambda *given, **named: replaced(real(*given, **named), True, False, "merge_slashes"))


def port_default() -> AbstractContextManager[object]:
    """A port condition only holds where the authority names the port."""
    return patch.object(matching, "DEFAULT_PORTS", {})


def when_ignored() -> AbstractContextManager[object]:
    """A credential is put in whatever `when` says."""
    real = matching.credential_condition
    broken = lambda condition, when: real(condition, None)  # noqa: E731
    return several(patch.object(mutations, "credential_condition", broken), patch.object(routes, "credential_condition", broken))


def apex() -> AbstractContextManager[object]:
    """A wildcard covers the name below which it stands."""
    real = hosts.covering_texts

    def broken(pattern: object) -> Iterator[str]:
        yield from real(pattern)  # type: ignore[arg-type]
        yield "*." + pattern.text  # type: ignore[attr-defined]

    return patch.object(hosts, "covering_texts", broken)


def query_as_written() -> AbstractContextManager[object]:
    """Query parameters are not percent-decoded."""
    real = query.query_filter
    return patch.object(listeners, "query_filter", lambda: edited(real(), "found[name] = decoded(value)", "found[name] = value"))


def query_last() -> AbstractContextManager[object]:
    """The last occurrence of a query parameter counts."""
    real = query.query_filter
    return patch.object(listeners, "query_filter", lambda: edited(real(), "if not found[name] then", "if true then"))


def mutated_conditions() -> AbstractContextManager[object]:
    """Conditions see what earlier rules changed."""
    return patch.object(mutations, "reading_order", lambda unordered: (list(unordered), []))


def echoing() -> AbstractContextManager[object]:
    """Credentials go along on TRACE."""
    return patch.object(matching, "ECHOING_METHODS", ())


def fail_open() -> AbstractContextManager[object]:
    """A missing credential never refuses."""
    return patch.object(routes, "failure", lambda *_: [])


def escaped_slashes() -> AbstractContextManager[object]:
    """Escaped slashes are let through."""
    return patch.object(guards, "escaped_slash", lambda: iter([False]))


def unasked() -> AbstractContextManager[object]:
    """What is ext-proc's to decide is sent on as if no rule had wanted it."""

    def broken(condition: Predicate, host_rules: object, internal: tuple[str, ...], context: Context) -> object:
        return routes.onward(condition, routes.refusals.route_name("passed"), {}, internal, context)

    return patch.object(routes, "ask", broken)


def own_rules_only() -> AbstractContextManager[object]:
    """ext-proc judges by the rules that need it, and not by those before and behind them."""
    real = View.rules
    return patch.object(View, "rules", lambda self, host: tuple(rule for rule in real(self, host) if rule.engine is Engine.EXTPROC))


def bodies_unread() -> AbstractContextManager[object]:
    """ext-proc does not wait for bodies."""
    real = stream.walk
    return patch.object(stream, "walk", lambda rules, request, *, body_known: real(rules, request, body_known=True))


def not_waiting() -> AbstractContextManager[object]:
    """Where a route was chosen that waits for Lua, ext-proc's filter is not there for the one that is chosen then."""
    return patch.object(routes, "waiting_filters", lambda pattern, host_rules, context: {})


MUTANTS: Mapping[str, Callable[[], AbstractContextManager[object]]] = {
    mutant.__name__: mutant
    for mutant in (
        case, anchoring, comma, order, bypass, path_with_query, normalisation, port_default, when_ignored, apex, query_as_written,
        query_last, mutated_conditions, echoing, fail_open, escaped_slashes, unasked, own_rules_only, bodies_unread, not_waiting,
    )
}  # fmt: skip


@contextmanager
def several(*contexts: AbstractContextManager[object]) -> Iterator[None]:
    first, *rest = contexts
    with first:
        if rest:
            with several(*rest):
                yield
        else:
            yield


def replaced(tree: Resource, old: object, new: object, key: str | None = None) -> Resource:
    """The same tree with one value exchanged, wherever it stands or only under `key`. A mutant that changes nothing is an error."""
    found: list[object] = []

    def walk(value: object, under: str) -> object:
        if isinstance(value, dict):
            return {name: walk(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [walk(item, under) for item in value]
        if value == old and key in {None, under}:
            found.append(value)
            return new
        return value

    result = walk(tree, "")
    assert found, f"nothing is {old!r} any more: the mutant must be brought up to date"
    assert isinstance(result, dict)
    return result


def edited(filter_: Resource, old: str, new: str) -> Resource:
    """A Lua filter whose script says something else."""
    code = filter_["typed_config"]["default_source_code"]["inline_string"]
    return replaced(filter_, code, edited_text(code, old, new))


def edited_text(text: str, old: str, new: str) -> str:
    assert old in text, f"{old!r} is not in the script any more: the mutant must be brought up to date"
    return text.replace(old, new)
