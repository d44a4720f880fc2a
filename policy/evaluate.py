"""What becomes of one request: the specification that every engine is tested against. Read it from top to bottom.

A request is normalised first; what can be read in two ways is refused (400). Then every rule that matches acts, in order,
until one ends the walk: a block refuses and drops what was changed so far, a bypass forwards and keeps it, an MCP policy
that denies refuses. All conditions read the request as it arrived, never a change made by an earlier rule. A credential
that is missing under failStrategy Block refuses with 503, unless a rule refused already; a bypass does not save it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from policy.domains import DomainPattern
from policy.matching import mismatch
from policy.mcp import denial
from policy.normalise import normalise
from policy.program import Block, FailStrategy, Rule, SecretKeyRef, Selection, TokenTransformation
from policy.request import Malformed, RawRequest, Request
from policy.verdict import Outcome, RuleTrace, Verdict

ECHOING_METHODS = frozenset({"TRACE", "TRACK"})
"""Their answer repeats the request's headers to the client, so no credential goes along. That is no failure: the request is
forwarded with what the client itself sent in that header."""

UNAVAILABLE = 503


def evaluate(selection: Selection, raw: RawRequest, *, credentials: Mapping[SecretKeyRef, str]) -> Verdict:
    """`credentials` are those that have a value and may be used; references are resolved (`Selection.secret_ref`)."""
    request = normalise(raw, escaped_slash_hosts(selection))
    if isinstance(request, Malformed):
        return Verdict(outcome=Outcome.BLOCKED, status=request.status, reason=request.reason)
    walk = Walk(selection=selection, request=request, credentials=credentials)
    for rule in selection.rules:
        verdict = walk.visit(rule)
        if verdict is not None:
            return verdict
    return walk.forwarded(Outcome.MUTATED if walk.changed else Outcome.PASSTHROUGH)


def escaped_slash_hosts(selection: Selection) -> frozenset[DomainPattern]:
    return frozenset(host for profile in selection.profiles for host in profile.escaped_slash_hosts)


@dataclass(slots=True, kw_only=True)
class Walk:
    """One request on its way through the rules."""

    selection: Selection
    request: Request
    credentials: Mapping[SecretKeyRef, str]
    headers: dict[str, "Change"] = field(default_factory=dict)
    changed: bool = False
    failed: str = ""
    """The first rule whose credential is missing under failStrategy Block."""
    trace: list[RuleTrace] = field(default_factory=list)

    def visit(self, rule: Rule) -> Verdict | None:
        """Lets one rule act. A Verdict ends the walk."""
        reason = mismatch(rule, self.request)
        if reason is not None:
            self.note(rule, matched=False, acted=False, why=reason)
            return None
        if rule.bypass:
            self.note(rule, why="bypass: no later rule is asked")
            return self.forwarded(Outcome.BYPASSED, rule)
        if rule.block:
            self.note(rule, why=f"block: refused with {rule.block.status}")
            return self.refused(rule.block, "Blocked", rule)
        verdict = self.judge_tools(rule)
        if verdict is None:
            self.mutate(rule)
        return verdict

    def judge_tools(self, rule: Rule) -> Verdict | None:
        why = denial(rule.mcp, self.request) if rule.mcp else None
        if rule.mcp is None or why is None:
            return None
        self.note(rule, why=f"mcpToolPolicy: {why}")
        return self.refused(rule.mcp.deny, "ToolDenied", rule)

    def mutate(self, rule: Rule) -> None:
        done = []
        if rule.headers and (rule.headers.set or rule.headers.remove):
            self.headers |= {name: Change(value=value) for name, value in rule.headers.set}
            self.headers |= {name: Change(value=None) for name in rule.headers.remove}
            done.append("headers changed")
        acted = bool(done)
        if rule.token:
            put, why = self.put_credential(rule, rule.token)
            acted |= put
            done.append(why)
        if rule.mcp:
            done.append("mcpToolPolicy: allowed")
        self.changed |= acted
        self.note(rule, acted=acted, why="; ".join(done) or "no action")

    def put_credential(self, rule: Rule, token: TokenTransformation) -> tuple[bool, str]:
        """Whether it was put in, and what is to be said of it."""
        if self.request.method.upper() in ECHOING_METHODS:
            return False, "credential withheld: method echoes headers"
        if token.when:
            value = self.request.header(token.when.header)
            if not value or not token.when.match.matches(value):
                return False, f"credential not asked for: header {token.when.header} does not meet `when`"
        ref = self.selection.secret_ref(token.secret)
        credential = self.credentials.get(ref)
        if credential is not None:
            self.headers[token.target_header] = Change(value=token.template.render(credential), secret=True)
            return True, f"credential {ref} in {token.target_header}"
        if token.fail_strategy is FailStrategy.BLOCK:
            self.failed = self.failed or rule.id
            return False, f"credential {ref} is missing: refused unless a rule refuses first"
        return False, f"credential {ref} is missing: forwarded without it"

    def forwarded(self, outcome: Outcome, rule: Rule | None = None) -> Verdict:
        if self.failed:
            return Verdict(
                outcome=Outcome.BLOCKED,
                status=UNAVAILABLE,
                reason="CredentialUnavailable",
                rules=tuple(self.trace),
                decided_by=self.failed,
            )
        changes = sorted(self.headers.items())
        return Verdict(
            outcome=outcome,
            set_headers=tuple((name, change.value) for name, change in changes if change.value is not None),
            remove_headers=tuple(name for name, change in changes if change.value is None),
            secret_headers=tuple(name for name, change in changes if change.secret),
            rules=tuple(self.trace),
            decided_by=rule.id if rule else "",
        )

    def refused(self, block: Block, reason: str, rule: Rule) -> Verdict:
        return Verdict(
            outcome=Outcome.BLOCKED,
            status=block.status,
            body=block.body,
            reason=reason,
            rules=tuple(self.trace),
            decided_by=rule.id,
        )

    def note(self, rule: Rule, *, why: str, matched: bool = True, acted: bool = True) -> None:
        entry = RuleTrace(profile=str(rule.profile), rule=rule.name, matched=matched, acted=acted, engine=rule.engine, why=why)
        self.trace.append(entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a header becomes; None: it is removed."""

    value: str | None
    secret: bool = False
