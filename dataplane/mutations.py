"""Rules that change headers, as slots: each slot is one composite filter that looks from the last rule to the first.

Several rules may write one header and the last that acts wins; so for one header the answer is the first match in
reverse order. Headers that the same rules write share a slot. Conditions must read the request as it arrived although an
earlier slot may already have written a header: slots are ordered so that readers come before writers, and where that is
circular they first decide, all of them, into internal headers, and only then write.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from dataplane import names
from dataplane.hosts import HostRule
from dataplane.matching import credential_condition, headers_read
from dataplane.predicates import Predicate, header
from dataplane.secrets import Layout, credential_file, credential_name
from dataplane.xds import HTTP, Resource, extension, literal, message, text
from policy.program import Rule


class TooManySlotsError(Exception):
    """One host's rules write more independent groups of headers than there are slots."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """A rule that changes headers, with its condition on this host."""

    host_rule: HostRule
    condition: Predicate

    @property
    def rule(self) -> Rule:
        return self.host_rule.rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One rule's effect on one header: `value` None removes it, `token` puts the rule's credential in."""

    header: str
    value: str | None = None
    token: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing a rule does: either its literal headers or its credential, under one condition."""

    rule: Rule
    condition: Predicate
    token: bool


@dataclass(slots=True, kw_only=True)
class Group:
    """Headers that the same steps write, with the headers that those steps' conditions read."""

    steps: tuple[Step, ...]
    writes: dict[int, list[Write]]
    reads: frozenset[str]

    @property
    def written(self) -> frozenset[str]:
        return frozenset(write.header for writes in self.writes.values() for write in writes)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotPlan:
    """Per-route configuration by filter name, and the internal headers to drop before the request leaves."""

    per_filter: dict[str, Resource]
    internal_headers: tuple[str, ...] = ()


def slot_plan(acting: Sequence[Acting], layout: Layout) -> SlotPlan:
    """Raises TooManySlotsError."""
    ordered, circular = reading_order(groups(acting))
    matchers = [matcher(group, partial(action, group, layout)) for group in ordered]
    decisions = [f"{names.DECISION_HEADER}{number}" for number in range(len(circular))]
    matchers += [matcher(group, partial(decide, name)) for group, name in zip(circular, decisions, strict=True)]
    matchers += [carry_out(group, name, layout) for group, name in zip(circular, decisions, strict=True)]
    if len(matchers) > names.SLOTS:
        raise TooManySlotsError
    per_route = "envoy.extensions.filters.http.composite.v3.CompositePerRoute"
    configured = {names.slot(position): message(per_route, matcher=tree) for position, tree in enumerate(matchers)}
    return SlotPlan(per_filter=configured, internal_headers=tuple(decisions))


def groups(acting: Sequence[Acting]) -> list[Group]:
    steps: list[Step] = []
    reads: list[frozenset[str]] = []
    by_header: dict[str, list[tuple[int, Write]]] = defaultdict(list)
    for item in acting:
        for step, writes in steps_of(item):
            for write in writes:
                if step.condition is True:
                    by_header[write.header].clear()
                by_header[write.header].append((len(steps), write))
            steps.append(step)
            reads.append(headers_read(item.host_rule) if step.condition is not True else frozenset())
    by_steps: dict[tuple[int, ...], dict[int, list[Write]]] = defaultdict(lambda: defaultdict(list))
    for items in by_header.values():
        for number, write in items:
            by_steps[tuple(number for number, _ in items)][number].append(write)
    return [
        Group(
            steps=tuple(steps[number] for number in numbers),
            writes={position: writes[number] for position, number in enumerate(numbers)},
            reads=frozenset[str]().union(*(reads[number] for number in numbers)),
        )
        for numbers, writes in by_steps.items()
    ]


def steps_of(item: Acting) -> list[tuple[Step, list[Write]]]:
    rule, found = item.rule, []
    if rule.headers:
        writes = [Write(header=name, value=value) for name, value in rule.headers.set]
        writes += [Write(header=name) for name in rule.headers.remove]
        found.append((Step(rule=rule, condition=item.condition, token=False), writes))
    if rule.token:
        condition = credential_condition(item.condition, rule.token.when)
        if condition is not False:
            found.append((Step(rule=rule, condition=condition, token=True), [Write(header=rule.token.target_header, token=True)]))
    return found


def reading_order(unordered: list[Group]) -> tuple[list[Group], list[Group]]:
    """Groups such that none reads what one before it wrote; and those for which no such order exists."""
    ordered: list[Group] = []
    remaining = list(unordered)
    while remaining:
        free = next((g for g in remaining if not any(g.written & other.reads for other in remaining if other is not g)), None)
        if free is None:
            return ordered, remaining
        ordered.append(free)
        remaining.remove(free)
    return ordered, []


def matcher(group: Group, act: Callable[[int], Resource]) -> Resource:
    """First match from the last step to the first; an unconditional step ends the list."""
    tree: Resource = {}
    entries = []
    for number in range(len(group.steps) - 1, -1, -1):
        condition = group.steps[number].condition
        on_match = {"action": act(number)}
        if condition is True:
            tree["on_no_match"] = on_match
            break
        entries.append({"predicate": condition, "on_match": on_match})
    if entries:
        tree["matcher_list"] = {"matchers": entries}
    return tree


def carry_out(group: Group, decision: str, layout: Layout) -> Resource:
    entries = [
        {"predicate": header(decision, exact=str(number)), "on_match": {"action": action(group, layout, number)}}
        for number in range(len(group.steps))
    ]
    return {"matcher_list": {"matchers": entries}}


def decide(name: str, number: int) -> Resource:
    return execute(f"decide {number}", [header_mutation([append(name, str(number))])])


def action(group: Group, layout: Layout, number: int) -> Resource:
    """The filters that write this group's headers as the given step wants them; its name says which rule acted."""
    step = group.steps[number]
    writes = group.writes[number]
    literals = [append(w.header, literal(text(w.value))) if w.value is not None else {"remove": w.header} for w in writes if not w.token]
    filters = [header_mutation(literals)] if literals else []
    filters += [credential_injector(step.rule, layout) for write in writes if write.token]
    return execute(f"{'credential' if step.token else 'headers'}:{step.rule.id}", filters)


def execute(name: str, filters: list[Resource]) -> Resource:
    kind = "envoy.extensions.filters.http.composite.v3.ExecuteFilterAction"
    if len(filters) == 1:
        return extension(name, kind, typed_config={**filters[0], "name": name})
    return extension(name, kind, filter_chain={"typed_config": filters})


def append(name: str, value: str) -> Resource:
    option = {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD", "keep_empty_value": True}
    return {"append": option}


def header_mutation(mutations: list[Resource]) -> Resource:
    kind = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
    return extension(HTTP + "header_mutation", kind, mutations={"request_mutations": mutations})


def credential_injector(rule: Rule, layout: Layout) -> Resource:
    if rule.token is None:
        raise ValueError(f"rule {rule.id} has no credential")
    generic = extension(
        "envoy.http.injected_credentials.generic",
        "envoy.extensions.http.injected_credentials.generic.v3.Generic",
        header=rule.token.target_header,
        credential={"name": credential_name(rule.token), "sds_config": layout.source(credential_file(rule.token))},
    )
    kind = "envoy.extensions.filters.http.credential_injector.v3.CredentialInjector"
    return extension(HTTP + "credential_injector", kind, overwrite=True, credential=generic)
