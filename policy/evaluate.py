"""What becomes of one request: the specification that every engine is tested against.

A request is normalised first; what can be read in two ways is refused (400). Then every rule that matches acts, in order,
until one ends the walk: a block refuses and drops what was changed so far, a bypass forwards and keeps it, an MCP policy
that denies refuses. All conditions read the request as it arrived, never a change made by an earlier rule. A credential
that is missing under failStrategy Block refuses with 503, unless a rule refused already; a bypass does not save it.
Read `walk` for the first half and `finish` for the second: ext-proc fetches credentials in between.
"""

from collections.abc import Callable, Mapping

from policy.domains import DomainPattern
from policy.finish import API_KEY, UNAVAILABLE, Values, finish
from policy.normalise import normalise
from policy.program import Rule, SecretKeyRef, SecretRef, Selection
from policy.request import Malformed, RawRequest
from policy.verdict import Outcome, Verdict
from policy.walk import ECHOING_METHODS, walk

__all__ = ["ECHOING_METHODS", "UNAVAILABLE", "escaped_slash_hosts", "evaluate", "from_secrets", "malformed"]

Issued = Callable[[Rule], Mapping[str, str] | None]


def evaluate(selection: Selection, raw: RawRequest, *, credentials: Mapping[SecretKeyRef, str], issued: Issued = lambda _: None) -> Verdict:
    """`credentials` are those that have a value and may be used; references are resolved (`Selection.secret_ref`).

    `issued` says what a provider gives for a rule.
    """
    request = normalise(raw, escaped_slash_hosts(selection))
    if isinstance(request, Malformed):
        return malformed(request)
    walked = walk(selection.rules, request, explained=True)
    return finish(selection, walked, request, from_secrets(selection, credentials, issued), explained=True)


def malformed(request: Malformed) -> Verdict:
    return Verdict(outcome=Outcome.BLOCKED, status=request.status, reason=request.reason)


def escaped_slash_hosts(selection: Selection) -> frozenset[DomainPattern]:
    return frozenset(host for profile in selection.profiles for host in profile.escaped_slash_hosts)


def from_secrets(selection: Selection, credentials: Mapping[SecretKeyRef, str], issued: Issued) -> Values:
    """Each rule's credential: whole or not at all."""

    def values(rule: Rule) -> Mapping[str, str] | None:
        if rule.exchange and not isinstance(rule.exchange.source, SecretRef):
            return issued(rule)
        found = {ref.key: credentials.get(ref) for ref in selection.secret_refs(rule)}
        if rule.token:
            return {API_KEY: value} if (value := found.get(rule.token.secret.key)) is not None else None
        return {key: value for key, value in found.items() if value is not None} if None not in found.values() else None

    return values
