"""OrderSensitive: profiles of equal priority that may hold for the same pod and mean something else in another order.

Between them only namespace and name decide (design: files have no creation time), which is rarely what somebody meant.
It errs towards warning: two profiles are told apart only where labels, hosts, ports, schemes, methods or plain paths
provably never meet. Rules are found by host, so that a thousand profiles on a thousand hosts cost nothing; where many share
a host the search stops after `MAX_COMPARISONS`, and each profile hears of a few others at most.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, groupby, islice, product

from crds.problem import Problem
from policy.domains import DomainPattern
from policy.program import ApiKeyForm, Match, NamedMatch, Profile, ProfileRef, Rule
from policy.reasons import Reason
from policy.selectors import LabelSelector, Operator
from policy.strings import MatchKind, StringMatch

MAX_COMPARISONS = 50_000
MAX_WARNINGS = 5
"""For one profile."""

Pair = tuple[Profile, Rule, Profile, Rule]
Numbered = tuple[int, Rule]


def order_sensitive(profiles: Sequence[Profile]) -> Mapping[ProfileRef, tuple[Problem, ...]]:
    """`profiles` in program order. Each pair is told to both, once."""
    found: dict[ProfileRef, list[Problem]] = defaultdict(list)
    for _, same in groupby(profiles, key=lambda profile: profile.priority):
        told: set[tuple[ProfileRef, ProfileRef]] = set()
        for first, rule, second, other in _meeting(list(same)):
            if (first.ref, second.ref) in told or not (_conflict(rule, other) and _may_match_alike(rule, other)):
                continue
            told.add((first.ref, second.ref))
            found[first.ref].append(_warning(rule, second, other, earlier=True))
            found[second.ref].append(_warning(other, first, rule, earlier=False))
    return {ref: tuple(problems[:MAX_WARNINGS]) for ref, problems in found.items()}


def _warning(rule: Rule, other_profile: Profile, other: Rule, *, earlier: bool) -> Problem:
    place = "before" if earlier else "after"
    message = (
        f"this rule is tried {place} rule `{other.name}` of {other_profile.ref.kind} {other_profile.ref}, which has the same priority,"
        " may hold for the same pods and requests, and would decide otherwise: give the profiles different priorities"
    )
    return Problem(reason=Reason.ORDER_SENSITIVE.value, message=message, field=f"spec.rules[{rule.index}]", fatal=False)


def _meeting(profiles: list[Profile]) -> Iterator[Pair]:
    """Pairs of rules on hosts that meet, of profiles that may hold for one pod; the earlier profile first."""
    together: dict[tuple[int, int], bool] = {}
    for (low, rule), (high, other) in islice(_on_one_host(profiles), MAX_COMPARISONS):
        if low == high:
            continue
        if (low, high) not in together:
            together[low, high] = _may_select_alike(profiles[low], profiles[high])
        if together[low, high]:
            yield profiles[low], rule, profiles[high], other


def _on_one_host(profiles: list[Profile]) -> Iterator[tuple[Numbered, Numbered]]:
    """Rules, with their profile's number, whose patterns are the same or cover each other; crowded hosts last."""
    by_domain = _by_domain(profiles) if len(profiles) > 1 else {}
    for text, rules in sorted(by_domain.items(), key=lambda item: len(item[1])):
        yield from combinations(rules, 2)
        for covering in _covering(text, by_domain):
            for one, other in product(rules, by_domain[covering]):
                yield (one, other) if one[0] <= other[0] else (other, one)


def _by_domain(profiles: list[Profile]) -> dict[str, list[Numbered]]:
    found: dict[str, list[Numbered]] = defaultdict(list)
    for number, profile in enumerate(profiles):
        for rule in profile.rules:
            for text in {domain.text for entry in rule.match for domain in entry.domains}:
                found[text].append((number, rule))
    return found


def _covering(text: str, by_domain: Mapping[str, object]) -> Iterator[str]:
    """Other patterns in use that cover this one."""
    pattern = DomainPattern(text=text)
    candidates = [] if pattern.is_any else ["*"]
    if not pattern.is_any and not pattern.is_ip:
        labels = text.removeprefix("*.").split(".")
        candidates += ["*." + ".".join(labels[start:]) for start in range(1, len(labels))]
    return (candidate for candidate in candidates if candidate in by_domain)


def _may_select_alike(first: Profile, second: Profile) -> bool:
    namespaces = {profile.ref.namespace for profile in (first, second)} - {""}
    return len(namespaces) < 2 and not _never_together(first.selector, second.selector)


def _never_together(first: LabelSelector, second: LabelSelector) -> bool:
    """Whether no labels meet both selectors, as far as one key alone can tell."""
    requirements = (*first.requirements, *second.requirements)
    for key in {requirement.key for requirement in requirements}:
        of_key = [requirement for requirement in requirements if requirement.key == key]
        wanted = [set(requirement.values) for requirement in of_key if requirement.operator is Operator.IN]
        unwanted = {value for requirement in of_key if requirement.operator is Operator.NOT_IN for value in requirement.values}
        operators = {requirement.operator for requirement in of_key}
        if wanted and not set.intersection(*wanted) - unwanted:
            return True
        if Operator.DOES_NOT_EXIST in operators and operators & {Operator.IN, Operator.EXISTS}:
            return True
    return False


def _conflict(first: Rule, second: Rule) -> bool:
    """Whether it matters which of the two comes first, for a request that both match."""
    if first.bypass or second.bypass:
        return not (first.bypass and second.bypass) and any(_acts(rule) for rule in (first, second) if not rule.bypass)
    ends = [rule.block or (rule.mcp.deny if rule.mcp else None) for rule in (first, second)]
    if ends[0] and ends[1] and ends[0] != ends[1]:
        return True
    return _write_differently(first, second)


def _acts(rule: Rule) -> bool:
    return bool(rule.block or rule.mcp or _writes(rule))


def _write_differently(first: Rule, second: Rule) -> bool:
    one, other = _writes(first), _writes(second)
    return any(one[name] != other[name] for name in one.keys() & other.keys())


def _writes(rule: Rule) -> dict[str, object]:
    """Each header that the rule writes, with what it becomes in the end."""
    written: dict[str, object] = {}
    if rule.headers:
        written |= dict(rule.headers.set) | dict.fromkeys(rule.headers.remove)
    if rule.token:
        written[rule.token.target_header] = (rule.token.secret, rule.token.template)
    if rule.exchange:
        form = rule.exchange.form
        written[form.target_header if isinstance(form, ApiKeyForm) else "authorization"] = rule.exchange
    return written


def _may_match_alike(first: Rule, second: Rule) -> bool:
    return any(_entries_meet(one, other) for one in first.match for other in second.match)


def _entries_meet(one: Match, other: Match) -> bool:
    plain = ((one.ports, other.ports), (one.schemes, other.schemes), (one.methods, other.methods))
    return (
        any(domain.overlaps(with_domain) for domain in one.domains for with_domain in other.domains)
        and all(not values or not others or set(values) & set(others) for values, others in plain)
        and _strings_meet([path.match for path in one.paths], [path.match for path in other.paths])
        and _named_meet(one.headers, other.headers)
        and _named_meet(one.query, other.query)
    )


def _named_meet(one: Iterable[NamedMatch], other: Sequence[NamedMatch]) -> bool:
    return all(_string_meets(first.match, second.match) for first in one for second in other if first.name == second.name)


def _strings_meet(one: Iterable[StringMatch], other: Sequence[StringMatch]) -> bool:
    conditions = list(one)
    return not conditions or not other or any(_string_meets(match, with_match) for match in conditions for with_match in other)


def _string_meets(one: StringMatch, other: StringMatch) -> bool:
    """Whether some text meets both; regular expressions may meet anything that is not a plain value."""
    if MatchKind.EXACT in {one.kind, other.kind}:
        exact, condition = (one, other) if one.kind is MatchKind.EXACT else (other, one)
        return condition.matches(exact.value)
    if MatchKind.REGEX in {one.kind, other.kind}:
        return True
    return one.value.startswith(other.value) or other.value.startswith(one.value)
