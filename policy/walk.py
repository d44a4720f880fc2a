"""The walk through the rules: what a request meets, before any credential is looked up.

In: the rules that may match, in order, and the request as it was normalised. Out: how the walk ended, and in order what it
would do to a request that goes on. A credential is only named here (`Wanted`): whoever has to fetch it does so once it is
certain that no rule refuses. Whether the body must be known to go on is said too, never guessed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from policy.aliyun import needs_body
from policy.matching import blocks, matches, mismatch
from policy.mcp import CARRIES_CALLS, denial
from policy.program import AliyunForm, Block, CredentialExchange, Rule
from policy.request import Request

ECHOING_METHODS = frozenset({"TRACE", "TRACK"})
"""Their answer repeats the request's headers to the client, so no credential goes along. That is no failure: the request is
forwarded with what the client itself sent in that header."""


class End(StrEnum):
    FORWARDED = "forwarded"
    BYPASSED = "bypassed"
    BLOCKED = "blocked"
    BODY_WANTED = "body wanted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A header gets this value; None: it is removed."""

    header: str
    value: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A credential goes here: the rule's `token` or `exchange`."""

    rule: Rule


Step = Written | Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One rule that was tried. `said` is what is known of it now; what became of a wanted credential is said later."""

    rule: Rule
    matched: bool = True
    acted: bool = False
    said: tuple[str, ...] = ()
    wanted: Wanted | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """`by` ended the walk, with `block` and `reason` where it refused. `steps` are in the order of the rules.

    `visits` has the rules that matched; with `explained` also those that did not, and why.
    """

    end: End
    by: Rule | None = None
    block: Block | None = None
    reason: str = ""
    steps: tuple[Step, ...] = ()
    visits: tuple[Visit, ...] = ()

    @property
    def wanted(self) -> tuple[Rule, ...]:
        """Whose credentials are worth fetching: none where the request is refused anyway."""
        if self.end is End.BLOCKED:
            return ()
        return tuple(step.rule for step in self.steps if isinstance(step, Wanted))

    @property
    def matched(self) -> tuple[Rule, ...]:
        return tuple(visit.rule for visit in self.visits if visit.matched)


def walk(rules: Iterable[Rule], request: Request, *, body_known: bool = True, explained: bool = False) -> Walked:
    """Without `body_known` the walk ends with BODY_WANTED at the first rule that must read the body; then walk again."""
    walker = _Walker(request=request, body_known=body_known)
    for rule in rules:
        if explained:
            reason = mismatch(rule, request)
            if reason is not None:
                walker.visits.append(Visit(rule=rule, matched=False, said=(reason,)))
                continue
        elif not any(matches(entry, request, blocks=blocks(rule)) for entry in rule.match):
            continue
        ended = walker.visit(rule)
        if ended:
            return ended
    return walker.ended(End.FORWARDED)


@dataclass(slots=True, kw_only=True)
class _Walker:
    request: Request
    body_known: bool
    steps: list[Step] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)

    def ended(self, end: End, by: Rule | None = None, block: Block | None = None, reason: str = "") -> Walked:
        return Walked(end=end, by=by, block=block, reason=reason, steps=tuple(self.steps), visits=tuple(self.visits))

    def visit(self, rule: Rule) -> Walked | None:
        """Lets one rule act that matches; what comes back ends the walk."""
        if rule.bypass:
            self.visits.append(Visit(rule=rule, acted=True, said=("bypass: no later rule is asked",)))
            return self.ended(End.BYPASSED, rule)
        if rule.block:
            self.visits.append(Visit(rule=rule, acted=True, said=(f"block: refused with {rule.block.status}",)))
            return self.ended(End.BLOCKED, rule, rule.block, "Blocked")
        if rule.mcp:
            if not self.body_known and self.request.method.upper() == CARRIES_CALLS:
                return self.ended(End.BODY_WANTED, rule)
            why = denial(rule.mcp, self.request)
            if why is not None:
                self.visits.append(Visit(rule=rule, acted=True, said=(f"mcpToolPolicy: {why}",)))
                return self.ended(End.BLOCKED, rule, rule.mcp.deny, "ToolDenied")
        if not self.body_known and rule.exchange and self.signs_body(rule.exchange) and not self.not_asked(rule):
            return self.ended(End.BODY_WANTED, rule)
        self.change(rule)
        return None

    def signs_body(self, exchange: CredentialExchange) -> bool:
        return isinstance(exchange.form, AliyunForm) and needs_body(self.request)

    def change(self, rule: Rule) -> None:
        said = []
        if rule.headers and (rule.headers.set or rule.headers.remove):
            self.steps += [Written(header=name, value=value) for name, value in rule.headers.set]
            self.steps += [Written(header=name, value=None) for name in rule.headers.remove]
            said.append("headers changed")
        acted = bool(said)
        wanted = None
        if rule.token or rule.exchange:
            not_asked = self.not_asked(rule)
            if not_asked:
                said.append(not_asked)
            else:
                wanted = Wanted(rule=rule)
                self.steps.append(wanted)
        if rule.mcp:
            said.append("mcpToolPolicy: allowed")
        self.visits.append(Visit(rule=rule, acted=acted, said=tuple(said), wanted=wanted))

    def not_asked(self, rule: Rule) -> str:
        """Why the credential is not asked for; empty where it is."""
        if self.request.method.upper() in ECHOING_METHODS:
            return "credential withheld: method echoes headers"
        form = rule.token or (rule.exchange and rule.exchange.form)
        when = form.when if form else None
        value = self.request.header(when.header) if when else None
        if when and (not value or not when.match.matches(value)):
            return f"credential not asked for: header {when.header} does not meet `when`"
        return ""
