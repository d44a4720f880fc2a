"""What became of a request: the outcome, what is sent on or answered, and which rules had a part in it."""

from dataclasses import dataclass
from enum import StrEnum

from policy.program import Engine


class Outcome(StrEnum):
    PASSTHROUGH = "passthrough"
    MUTATED = "mutated"
    BLOCKED = "blocked"
    BYPASSED = "bypassed"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTrace:
    """One rule that was tried: whether it matched, whether it acted, and why or why not (never a secret value)."""

    profile: str
    rule: str
    matched: bool
    acted: bool
    engine: Engine
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`status` and `body` are set where blocked; `body` None means the standard JSON body, written by `policy.refusal`.

    `set_headers` and `remove_headers` are the net effect on the request, in order of name. `secret_headers` names
    those of `set_headers` whose value is a credential. `target` is the path and query that go on, where a signature changed them:
    it holds a credential too.
    """

    outcome: Outcome
    status: int | None = None
    body: str | None = None
    reason: str = ""
    set_headers: tuple[tuple[str, str], ...] = ()
    remove_headers: tuple[str, ...] = ()
    secret_headers: tuple[str, ...] = ()
    target: str | None = None
    rules: tuple[RuleTrace, ...] = ()
    decided_by: str = ""
    failed: tuple[tuple[str, str], ...] = ()
    """Rules whose credential was wanted and did not get in, with why: `policy.finish` and `policy.aliyun.Why` have the words."""
