"""A profile's status: what compiling and resolving found, as the three conditions that people write alerts on.

  Accepted      the spec compiles; else the first problem's reason, and every rule and field that is wrong
  ResolvedRefs  Secrets and the like are there and granted
  Programmed    written for every template that the profile selects; pods report nothing yet, so more is not claimed

`lastTransitionTime` moves when a status does, and only then: the same facts give the same bytes, and no write.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crds.conditions import ConditionReason, ConditionType
from crds.problem import Problem

Raw = dict[str, Any]

SHOWN = 20
LONGEST_MESSAGE = 32_768


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileFacts:
    """`rules` are the rules' names in order, `asked` of those the ones that ext-proc carries out. `programmed` counts, of the
    `templates` selected, those whose objects are written; `failures` say why others are not.
    """

    generation: int | None
    rules: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    unresolved: tuple[Problem, ...] = ()
    last_good_in_force: bool = False
    templates: int = 0
    programmed: int = 0
    failures: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    type: ConditionType
    holds: bool
    reason: str
    message: str


def profile_status(facts: ProfileFacts, old: Sequence[Mapping[str, Any]], *, now: datetime) -> Raw:
    """`old` are the conditions as they are; those of other writers stay as they are."""
    findings = (accepted(facts), resolved(facts), programmed(facts))
    kinds = {finding.type.value for finding in findings}
    before = {str(condition.get("type")): condition for condition in old}
    mine = [condition(finding, before.get(finding.type.value), facts.generation, now) for finding in findings]
    others = [dict(kept) for kept in old if kept.get("type") not in kinds]
    observed = {} if facts.generation is None else {"observedGeneration": facts.generation}
    return {**observed, "conditions": [*mine, *others]}


def accepted(facts: ProfileFacts) -> Finding:
    fatal = [problem for problem in facts.problems if problem.fatal]
    if fatal:
        kept = "; the last version that compiled stays in force" if facts.last_good_in_force else ""
        return finding(ConditionType.ACCEPTED, fatal[0].reason, sentences(fatal, facts.rules) + kept, holds=False)
    warnings = [problem for problem in facts.problems if not problem.fatal]
    if not warnings:
        return finding(ConditionType.ACCEPTED, ConditionReason.ACCEPTED, in_force(facts), holds=True)
    sensitive = any(problem.reason == ConditionReason.ORDER_SENSITIVE for problem in warnings)
    reason = ConditionReason.ORDER_SENSITIVE if sensitive else ConditionReason.ACCEPTED
    return finding(ConditionType.ACCEPTED, reason, sentences(warnings, facts.rules), holds=True)


def in_force(facts: ProfileFacts) -> str:
    text = counted(len(facts.rules), "rule") + " in force"
    if not facts.asked:
        return text
    more = f" and {len(facts.asked) - SHOWN} more" if len(facts.asked) > SHOWN else ""
    return f"{text}; ext-proc carries out {', '.join(facts.asked[:SHOWN])}{more}"


def resolved(facts: ProfileFacts) -> Finding:
    if not facts.unresolved:
        return finding(ConditionType.RESOLVED_REFS, ConditionReason.RESOLVED_REFS, "everything that is referred to is there", holds=True)
    return finding(ConditionType.RESOLVED_REFS, facts.unresolved[0].reason, sentences(facts.unresolved, facts.rules), holds=False)


def programmed(facts: ProfileFacts) -> Finding:
    if any(problem.fatal for problem in facts.problems):
        return finding(ConditionType.PROGRAMMED, ConditionReason.NOT_ACCEPTED, "this version is not accepted", holds=False)
    if facts.programmed < facts.templates:
        message = f"written for {facts.programmed} of {counted(facts.templates, 'SandboxTemplate')}"
        if facts.failures:
            text = f"{message}: {sentences(facts.failures, ())}"
            return finding(ConditionType.PROGRAMMED, facts.failures[0].reason, text, holds=False)
        return finding(ConditionType.PROGRAMMED, ConditionReason.PENDING, message, holds=False)
    message = f"written for {counted(facts.templates, 'SandboxTemplate')}" if facts.templates else "selects no SandboxTemplate"
    return finding(ConditionType.PROGRAMMED, ConditionReason.DISTRIBUTED, message, holds=True)


def finding(kind: ConditionType, reason: str, message: str, *, holds: bool) -> Finding:
    return Finding(type=kind, holds=holds, reason=str(reason), message=message[:LONGEST_MESSAGE])


def condition(found: Finding, before: Mapping[str, Any] | None, generation: int | None, now: datetime) -> Raw:
    status = "True" if found.holds else "False"
    since = before.get("lastTransitionTime") if before and before.get("status") == status else None
    observed = {} if generation is None else {"observedGeneration": generation}
    return {
        "type": found.type.value,
        "status": status,
        **observed,
        "lastTransitionTime": since or f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "reason": found.reason,
        "message": found.message,
    }


def sentences(problems: Iterable[Problem], rules: Sequence[str]) -> str:
    texts = list(dict.fromkeys(sentence(problem, rules) for problem in problems))
    more = [f"and {len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return "; ".join([*texts[:SHOWN], *more])


def sentence(problem: Problem, rules: Sequence[str]) -> str:
    place = problem.field
    head, _, number = place.partition("spec.rules[")
    index = number.partition("]")[0]
    if not head and index.isdigit() and int(index) < len(rules):
        place = f"rule {rules[int(index)]}, {place}"
    return f"{place}: {problem.message}" if place else problem.message


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
