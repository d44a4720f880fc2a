"""`match` of a rule → compiled `Match` values, with a problem for every condition that could never hold as it is written.

Comes from the models, whose syntax is already checked; what is decided here is meaning (policy.patterns, policy.domains).
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

from crds.match import HeaderMatch, PathMatch, QueryParamMatch, RuleMatch
from crds.problem import Problem
from policy.domains import DomainPattern, parse_domain
from policy.headers import is_written_by_proxy
from policy.normalise import DEFAULT_PORTS
from policy.paths import has_escaped_slash
from policy.patterns import header_match, path_match, string_match
from policy.program import Match, NamedMatch, PathPattern
from policy.reasons import Reason
from policy.report import Report, quoted
from policy.strings import MatchKind

Written = TypeVar("Written")
Compiled = TypeVar("Compiled")


def compile_match(entries: Iterable[RuleMatch], report: Report) -> tuple[Match, ...]:
    return tuple(_entry(entry, report.at(number)) for number, entry in enumerate(entries))


def compile_domains(texts: Iterable[str], report: Report) -> tuple[DomainPattern, ...]:
    return _each(texts, report, _domain)


def _entry(entry: RuleMatch, report: Report) -> Match:
    return Match(
        domains=compile_domains(entry.domains, report.at("domains")),
        paths=_each(entry.paths, report.at("paths"), _path),
        methods=tuple(dict.fromkeys(method.upper() for method in entry.methods)),
        ports=tuple(dict.fromkeys(entry.ports)),
        schemes=_each(entry.schemes, report.at("schemes"), _scheme),
        headers=_each(entry.headers, report.at("headers"), _header),
        query=_each(entry.query_params, report.at("queryParams"), _parameter),
    )


def _each(written: Iterable[Written], report: Report, compile_one: Callable[[Written, Report], Compiled | None]) -> tuple[Compiled, ...]:
    """In order, each value once; what is a problem is left out, since the whole profile then is."""
    found = (compile_one(one, report.at(number)) for number, one in enumerate(written))
    return tuple(dict.fromkeys(one for one in found if one is not None))


def _domain(text: str, report: Report) -> DomainPattern | None:
    pattern = parse_domain(text)
    if isinstance(pattern, Problem):
        report.add(pattern)
        return None
    return pattern


def _path(condition: PathMatch, report: Report) -> PathPattern | None:
    match = path_match(condition.type, condition.value)
    if isinstance(match, Problem):
        report.at("value").add(match)
        return None
    if match.kind is not MatchKind.REGEX and has_escaped_slash(match.value):
        report.at("value").warn(
            Reason.UNREACHABLE_PATH,
            "escaped slashes are refused before any rule, except on hosts in the annotation `groyne.dev/allow-escaped-slashes`",
        )
    return PathPattern(match=match)


def _scheme(text: str, report: Report) -> str | None:
    scheme = text.lower()
    if scheme in DEFAULT_PORTS:
        return scheme
    report.fatal(Reason.INVALID_SCHEME, f"no request has the scheme {quoted(text)}: write http or https (`ws` is http, `wss` is https)")
    return None


def _header(condition: HeaderMatch, report: Report) -> NamedMatch | None:
    name = condition.name.lower()
    if is_written_by_proxy(name):
        message = f"{quoted(name)} is written by the proxy or meant for it alone: a condition cannot read what the client sent in it"
        report.at("name").fatal(Reason.RESERVED_HEADER, message)
    match = header_match(condition.type, condition.value)
    if isinstance(match, Problem):
        report.at("value").add(match)
        return None
    return NamedMatch(name=name, match=match)


def _parameter(condition: QueryParamMatch, report: Report) -> NamedMatch | None:
    match = string_match(condition.type, condition.value)
    if isinstance(match, Problem):
        report.at("value").add(match)
        return None
    return NamedMatch(name=condition.name, match=match)
