"""Profiles as users wrote them → the immutable Program, or every problem of each profile with its place. No I/O, no exceptions.

A profile with a fatal problem is not compiled by halves: it is left out, or stays in force as it was before (`last_good`),
in its place in the order. The order in which profiles come in does not matter.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from crds import annotations
from crds.paths import render
from crds.problem import Problem
from crds.security_profile import GlobalSecurityProfile, SecurityProfile, SecurityRule
from crds.selector import LabelSelector as SelectorModel
from policy.actions import NATIVE_ONLY, Surroundings, compile_actions, unavailable
from policy.audit import compile_hooks
from policy.conditions import compile_domains, compile_match
from policy.domains import DomainPattern
from policy.inputs import compile_inputs
from policy.order import order_sensitive
from policy.program import GLOBAL_RESERVED_PRIORITIES, Engine, Profile, ProfileRef, Program, Rule
from policy.reasons import Reason
from policy.report import Report, listed
from policy.selectors import LabelSelector, Operator, Requirement

ProfileModel = SecurityProfile | GlobalSecurityProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """One profile's compilation. `profile` is None where a problem is fatal."""

    ref: ProfileRef
    profile: Profile | None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileResult:
    """`program` is what is in force; `problems` has an entry for each profile that has any."""

    program: Program
    problems: Mapping[ProfileRef, tuple[Problem, ...]] = field(default_factory=dict)

    @property
    def in_force(self) -> Mapping[ProfileRef, Profile]:
        """What to give as `last_good` next time."""
        return {profile.ref: profile for profile in self.program.profiles}


def profile_ref(model: ProfileModel, *, default_namespace: str = "default") -> ProfileRef:
    if isinstance(model, GlobalSecurityProfile):
        return ProfileRef(kind="GlobalSecurityProfile", name=model.metadata.name)
    return ProfileRef(kind="SecurityProfile", namespace=model.metadata.namespace or default_namespace, name=model.metadata.name)


def compile_program(
    profiles: Iterable[ProfileModel],
    *,
    default_namespace: str = "default",
    last_good: Mapping[ProfileRef, Profile] | None = None,
    engines: frozenset[Engine] = NATIVE_ONLY,
) -> CompileResult:
    """`last_good` holds the versions to fall back on, for profiles that are still there but do not compile any more.

    `engines` are those that run where the program will be in force; what needs another one is not accepted.
    """
    results: dict[ProfileRef, Compiled] = {}
    for model in profiles:
        result = compile_profile(model, default_namespace=default_namespace, engines=engines)
        first = results.get(result.ref)
        results[result.ref] = _twice(first) if first else result
    accepted = [profile for result in results.values() if (profile := result.profile or (last_good or {}).get(result.ref))]
    program = Program(profiles=tuple(sorted(accepted, key=lambda profile: profile.order)))
    problems = {ref: result.problems for ref, result in results.items() if result.problems}
    for ref, warnings in order_sensitive(program.profiles).items():
        problems[ref] = (*problems.get(ref, ()), *warnings)
    return CompileResult(program=program, problems=dict(sorted(problems.items())))


def _twice(first: Compiled) -> Compiled:
    """Which of two objects of one name is meant nobody knows, so neither is in force."""
    message = "another profile has the same kind, namespace and name: remove one"
    duplicate = Problem(reason=Reason.DUPLICATE.value, message=message, field="metadata.name")
    problems = first.problems if duplicate in first.problems else (*first.problems, duplicate)
    return Compiled(ref=first.ref, profile=None, problems=problems)


def compile_profile(model: ProfileModel, *, default_namespace: str = "default", engines: frozenset[Engine] = NATIVE_ONLY) -> Compiled:
    ref = profile_ref(model, default_namespace=default_namespace)
    report = Report("spec")
    _judge_priority(model, ref, report)
    surroundings = _surroundings(model, ref, report, engines)
    rules = tuple(_rules(model.spec.rules, ref, report.at("rules"), surroundings))
    annotated = annotations.read(model.metadata.annotations)
    profile = Profile(
        ref=ref,
        priority=model.spec.priority,
        selector=compile_selector(model.spec.selector),
        rules=rules,
        escaped_slash_hosts=_hosts(annotations.ALLOW_ESCAPED_SLASHES, annotated.allow_escaped_slashes, report),
        passthrough_domains=_hosts(annotations.PASSTHROUGH_DOMAINS, annotated.passthrough_domains, report),
        inputs=surroundings.inputs,
    )
    _judge_passthrough(profile, report.at("rules"))
    return Compiled(ref=ref, profile=None if report.fatals else profile, problems=tuple(report.problems))


def _judge_priority(model: ProfileModel, ref: ProfileRef, report: Report) -> None:
    if ref.kind == "SecurityProfile" and model.spec.priority in GLOBAL_RESERVED_PRIORITIES:
        low, high = GLOBAL_RESERVED_PRIORITIES[0], GLOBAL_RESERVED_PRIORITIES[-1]
        message = f"priorities {low} to {high} are reserved for GlobalSecurityProfiles: use {high + 1} or more"
        report.at("priority").fatal(Reason.RESERVED_PRIORITY, message)


def _surroundings(model: ProfileModel, ref: ProfileRef, report: Report, engines: frozenset[Engine]) -> Surroundings:
    if Engine.EXTPROC not in engines:
        for field, feature in (("inputs", "inputs"), ("audit", "audit webhooks")):
            if getattr(model.spec, field):
                unavailable(report.at(field), feature)
    inputs = compile_inputs(model.spec.inputs, ref, report.at("inputs"))
    # Those with a problem, too: what reads them is not wrong besides.
    names = frozenset(each.name for each in model.spec.inputs)
    hooks = compile_hooks(model.spec.audit, report.at("audit"), names)
    return Surroundings(engines=engines, inputs=inputs, names=names, audit=hooks)


def _rules(rules: Iterable[SecurityRule], ref: ProfileRef, report: Report, surroundings: Surroundings) -> Iterator[Rule]:
    for index, rule in enumerate(rules):
        place = report.at(index)
        if not rule.name.isprintable():
            place.at("name").fatal(Reason.INVALID_NAME, "the name stands in answers and logs: remove line breaks and control characters")
        match = compile_match(rule.match, place.at("match"))
        yield compile_actions(rule.actions, Rule(profile=ref, name=rule.name, index=index, match=match), place.at("actions"), surroundings)


def compile_selector(selector: SelectorModel) -> LabelSelector:
    labels = (Requirement(key=key, operator=Operator.IN, values=(value,)) for key, value in sorted(selector.match_labels.items()))
    expressions = (
        Requirement(key=expression.key, operator=Operator(expression.operator), values=tuple(expression.values))
        for expression in selector.match_expressions
    )
    return LabelSelector(requirements=(*labels, *expressions))


def _hosts(key: str, texts: Iterable[str], report: Report) -> tuple[DomainPattern, ...]:
    return compile_domains(texts, report.elsewhere(render(("metadata", "annotations", key))))


def _judge_passthrough(profile: Profile, report: Report) -> None:
    """Says where a rule cannot hold inside TLS because its host is never intercepted."""
    if not profile.passthrough_domains:
        return
    for rule in profile.rules:
        blind = {
            domain.text
            for entry in rule.match
            for domain in entry.domains
            if (entry.needs_request or not rule.terminal) and any(passed.covers(domain) for passed in profile.passthrough_domains)
        }
        if blind:
            passed_through = f"the annotation `{annotations.PASSTHROUGH_DOMAINS}` passes TLS to {listed(sorted(blind))} through unread"
            report.at(rule.index).warn(Reason.NOT_INSPECTED, f"{passed_through}: there this rule only sees plain HTTP")
