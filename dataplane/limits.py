"""How much fits: hosts whose rules need more slots than there are, and whether the whole is too large for Envoy to read.

In: a plan. Out: facts for `check`, `run` and `explain`, known before Envoy is asked to carry out what it cannot. The first
limit fails closed (503), the second would be minutes of silence and gigabytes: every host carries each rule that covers it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from dataplane import names
from dataplane.compile import Plan
from dataplane.entries import Context
from dataplane.hosts import HostRule, RuleIndex
from dataplane.interception import Handling, HostPlan
from dataplane.mutations import LEAVES
from dataplane.routes import fits
from dataplane.secrets import Layout
from policy.program import Match, Rule

LARGEST = 50_000
"""What Envoy reads in about 15 s with 0.8 GB of memory on two shared cores (docs/security.md names it)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overfull:
    """`last` is the last of the rules that change this host's headers by http or https."""

    host: HostPlan
    scheme: str
    last: Rule


def too_many_slots(plan: Plan) -> Iterator[Overfull]:
    """As if every credential had a value."""
    index = RuleIndex(plan.selection.rules)
    for host in plan.hosts:
        covering = index.covering(host.pattern)
        for scheme in ("http", "https") if host.handling is Handling.INTERCEPT else ("http",):
            found = overfull(plan, host, covering, scheme)
            if found:
                yield found


def overfull(plan: Plan, host: HostPlan, covering: tuple[HostRule, ...], scheme: str) -> Overfull | None:
    rules = [found for rule in covering if (found := rule.for_scheme(scheme))]
    acting = [found.rule for found in rules if changes_headers(found.rule)]
    # A header takes two slots at most, so that few hosts need a closer look.
    if 2 * len({name for rule in acting for name in written(rule)}) <= names.SLOTS:
        return None
    escaped = tuple(domain for profile in plan.selection.profiles for domain in profile.escaped_slash_hosts)
    available = frozenset(rule.id for rule in acting)
    context = Context(scheme=scheme, layout=Layout(directory=""), available=available, escaped_slash_hosts=escaped)
    return None if fits(host.pattern, rules, context) else Overfull(host=host, scheme=scheme, last=acting[-1])


def changes_headers(rule: Rule) -> bool:
    return bool(rule.headers or rule.token)


def written(rule: Rule) -> Iterator[str]:
    if rule.headers:
        yield from (name for name, _ in rule.headers.set)
        yield from rule.headers.remove
    if rule.token:
        yield rule.token.target_header


def policy_size(plan: Plan) -> int:
    """Conditions that all hosts carry, each as often as it is written down; at most `LARGEST` can be carried out."""
    index = RuleIndex(plan.selection.rules)
    return sum(host_size(index.covering(host.pattern)) for host in plan.hosts)


def host_size(rules: tuple[HostRule, ...]) -> int:
    """Header changes are written once for each way out, after all rules and at each bypass, and more often where they share slots."""
    ways = 1 + sum(host_rule.rule.bypass for host_rule in rules)
    changes = [found for found in rules if changes_headers(found.rule)]
    others = sum(conditions(found) for found in rules if not changes_headers(found.rule))
    # Three outcomes of a shared slot are about as much text as one condition more.
    return others + sum(map(conditions, changes)) * ways * (1 + outcomes_shared(changes) // 3)


def outcomes_shared(changes: list[HostRule]) -> int:
    """How many outcomes a slot must have for these to fit, from which rules write which headers alone."""
    writers: dict[str, tuple[int, ...]] = {}
    for number, found in enumerate(changes):
        for name in written(found.rule):
            writers[name] = (*writers.get(name, ()), number)
    outcomes = [len(group) + 1 for group in dict.fromkeys(writers.values())]
    return next((most for most in LEAVES if slots_taken(outcomes, most) <= names.SLOTS), LEAVES[-1])


def slots_taken(outcomes: list[int], most: int) -> int:
    taken, leaves = 0, 0
    for number in outcomes:
        if not taken or leaves * number > most:
            taken, leaves = taken + 1, 1
        leaves *= number
    return taken


def conditions(host_rule: HostRule) -> int:
    return sum(map(entry_size, host_rule.entries))


def entry_size(entry: Match) -> int:
    return max(1, sum(map(len, (entry.paths, entry.methods, entry.ports, entry.headers, entry.query))))
