"""Rules that change headers, as slots: each slot is one composite filter that looks from the last rule to the first.

Several rules may write one header and the last that acts wins; so for one header the answer is the first match in
reverse order. Headers that the same rules write are a group, and a group is a slot; only where there are more groups than
slots do neighbours share one. Conditions must read the request as it arrived although an earlier slot may already have
written a header: groups are ordered so that readers come before writers, and where that is circular they first decide, all
of them, into internal headers, and only then write.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

from dataplane import names
from dataplane.hosts import HostRule
from dataplane.matching import credential_condition, headers_read
from dataplane.predicates import Predicate, header
from dataplane.secrets import Layout, credential_file, credential_name
from dataplane.xds import HTTP, Resource, extension, literal, message, text
from policy.program import Rule

LEAVES = (1, 4, 16, 64)
"""How many outcomes a slot may have that several groups share: the fewer the better, since each is a piece of configuration."""


class TooManySlotsError(Exception):
    """One host's rules write more independent groups of headers than slots can hold."""


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


Picked = tuple[int | None, ...]
"""For each group of a chunk the step that writes it, None where no step does."""


def slot_plan(acting: Sequence[Acting], layout: Layout) -> SlotPlan:
    """Raises TooManySlotsError."""
    direct, circular = fitting(*reading_order(groups(acting)))
    decisions = [f"{names.DECISION_HEADER}{number}" for number in range(len(circular))]
    matchers = [tree(chunk, partial(action, chunk, layout)) for chunk in direct]
    matchers += [tree(chunk, partial(decide, name)) for chunk, name in zip(circular, decisions, strict=True)]
    matchers += [carry_out(chunk, name, layout) for chunk, name in zip(circular, decisions, strict=True)]
    per_route = "envoy.extensions.filters.http.composite.v3.CompositePerRoute"
    configured = {names.slot(position): message(per_route, matcher=matcher) for position, matcher in enumerate(matchers)}
    return SlotPlan(per_filter=configured, internal_headers=tuple(decisions))


def fitting(ordered: list[Group], circular: list[Group]) -> tuple[list[list[Group]], list[list[Group]]]:
    """Chunks of groups, one a slot where that fits. Neighbours may share one, since none reads what one before it wrote."""
    for most in LEAVES:
        direct, deciding = chunks(ordered, most), chunks(circular, most)
        if len(direct) + 2 * len(deciding) <= names.SLOTS:
            return direct, deciding
    raise TooManySlotsError


def chunks(ordered: list[Group], most: int) -> list[list[Group]]:
    found: list[list[Group]] = []
    leaves = 0
    for group in ordered:
        outcomes = len(group.steps) + 1
        if not found or leaves * outcomes > most:
            found.append([])
            leaves = 1
        found[-1].append(group)
        leaves *= outcomes
    return found


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


def tree(chunk: Sequence[Group], act: Callable[[Picked], Resource], picked: Picked = ()) -> Resource:
    """For each group the first match from its last step to its first; an unconditional step ends the list."""
    group, *rest = chunk
    found: Resource = {}
    entries = []
    for number in range(len(group.steps) - 1, -1, -1):
        condition = group.steps[number].condition
        on_match = below(rest, act, (*picked, number))
        if condition is True:
            found["on_no_match"] = on_match
            break
        entries.append({"predicate": condition, "on_match": on_match})
    else:
        if rest or any(number is not None for number in picked):
            found["on_no_match"] = below(rest, act, (*picked, None))
    if entries:
        found["matcher_list"] = {"matchers": entries}
    return found


def below(rest: Sequence[Group], act: Callable[[Picked], Resource], picked: Picked) -> Resource:
    return {"matcher": tree(rest, act, picked)} if rest else {"action": act(picked)}


def carry_out(chunk: Sequence[Group], decision: str, layout: Layout) -> Resource:
    entries = [
        {"predicate": header(decision, exact=spelled(picked)), "on_match": {"action": action(chunk, layout, picked)}}
        for picked in product(*([None, *range(len(group.steps))] for group in chunk))
        if any(number is not None for number in picked)
    ]
    return {"matcher_list": {"matchers": entries}}


def decide(name: str, picked: Picked) -> Resource:
    return execute(f"decide {spelled(picked)}", [header_mutation([append(name, spelled(picked))])])


def spelled(picked: Picked) -> str:
    return ".".join("-" if number is None else str(number) for number in picked)


def action(chunk: Sequence[Group], layout: Layout, picked: Picked) -> Resource:
    """The filters that write these groups' headers as the picked steps want them; its name says, a line each, which rules acted."""
    chosen = [(group, number) for group, number in zip(chunk, picked, strict=True) if number is not None]
    steps = [group.steps[number] for group, number in chosen]
    writes = [(group.steps[number], write) for group, number in chosen for write in group.writes[number]]
    literals = [written(write) for _, write in writes if not write.token]
    filters = [header_mutation(literals)] if literals else []
    filters += [credential_injector(step.rule, layout) for step, write in writes if write.token]
    return execute("\n".join(f"{'credential' if step.token else 'headers'}:{step.rule.id}" for step in steps), filters)


def written(write: Write) -> Resource:
    return append(write.header, literal(text(write.value))) if write.value is not None else {"remove": write.header}


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
