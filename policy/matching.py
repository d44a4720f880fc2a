"""Whether a rule's conditions hold for a request, and if not, what kept them from holding, in words for `explain`.

Entries of `match` are alternatives; inside one, every dimension that is given must hold (policy.program.Match).
"""

from collections.abc import Iterator

from policy.program import Match, NamedMatch, Rule
from policy.request import Request
from policy.strings import MatchKind, StringMatch

WORDS = {MatchKind.EXACT: "is not", MatchKind.PREFIX: "does not start with", MatchKind.REGEX: "does not match"}


def mismatch(rule: Rule, request: Request) -> str | None:
    """None where the rule matches; else why no entry does."""
    reasons = []
    for entry in rule.match:
        reason = next(_obstacles(entry, request, blocks=blocks(rule)), None)
        if reason is None:
            return None
        reasons.append(reason)
    return "; ".join(dict.fromkeys(reasons)) or "no match entry"


def blocks(rule: Rule) -> bool:
    """A block must not be evaded by an escaped slash, so it also looks at what the path may be taken for."""
    return rule.block is not None and not rule.bypass


def matches(entry: Match, request: Request, *, blocks: bool = False) -> bool:
    return next(_obstacles(entry, request, blocks=blocks), None) is None


def _obstacles(entry: Match, request: Request, *, blocks: bool) -> Iterator[str]:
    if not any(domain.matches(request.host) for domain in entry.domains):
        yield f"host {request.host} is none of {', '.join(domain.text for domain in entry.domains)}"
    if entry.ports and request.port not in entry.ports:
        yield f"port {request.port} is none of {', '.join(map(str, entry.ports))}"
    if entry.schemes and request.scheme not in entry.schemes:
        yield f"scheme {request.scheme} is none of {', '.join(entry.schemes)}"
    if entry.methods and request.method.upper() not in entry.methods:
        yield f"method {request.method} is none of {', '.join(entry.methods)}"
    if entry.paths and not any(path.match.matches(spelling) for path in entry.paths for spelling in _paths(request, blocks=blocks)):
        yield "path " + " and ".join(_unlike(path.match) for path in entry.paths)
    for header in entry.headers:
        yield from _named("header", header, request.header(header.name))
    for parameter in entry.query:
        yield from _named("query parameter", parameter, request.parameter(parameter.name))


def _paths(request: Request, *, blocks: bool) -> tuple[str, ...]:
    if not request.path:
        return ()
    return (request.path, request.unescaped_path) if blocks and request.unescaped_path else (request.path,)


def _named(kind: str, condition: NamedMatch, value: str | None) -> Iterator[str]:
    if value is None:
        yield f"{kind} {condition.name} is not there"
    elif not condition.match.matches(value):
        yield f"{kind} {condition.name} {_unlike(condition.match)}"


def _unlike(match: StringMatch) -> str:
    """Latin-1 text as the manifest had it, where it was UTF-8."""
    return f"{WORDS[match.kind]} {match.value.encode('latin-1').decode('utf-8', 'replace')!r}"
