"""Which rules a virtual host carries: those that speak of its hosts, in order, and never one more."""

from hypothesis import given
from hypothesis import strategies as st

from dataplane.compile import Plan
from dataplane.hosts import RuleIndex, virtual_host_domain
from dataplane.interception import Handling, HostPlan
from policy.domains import DomainPattern
from policy.program import Match, ProfileRef, Rule, Selection

HOSTS = ("a.test", "b.a.test", "c.b.a.test", "test", "x.test", "10.0.0.1", "::1")
PATTERNS = st.sampled_from([*HOSTS, "*", "*.test", "*.a.test", "*.b.a.test"]).map(lambda text: DomainPattern(text=text))
REF = ProfileRef(kind="SecurityProfile", namespace="default", name="p")
MATCHES = st.lists(PATTERNS, min_size=1, max_size=3).map(lambda domains: Match(domains=tuple(domains)))
RULES = st.lists(st.lists(MATCHES, min_size=1, max_size=2), max_size=6).map(
    lambda found: tuple(Rule(profile=REF, name=f"r{n}", index=n, match=tuple(match)) for n, match in enumerate(found))
)


def most_specific(patterns: tuple[DomainPattern, ...], host: str) -> DomainPattern:
    """As Envoy finds a virtual host: exact, then the longest wildcard, then `*`."""
    plans = tuple(HostPlan(pattern=pattern, handling=Handling.PASS) for pattern in patterns)
    return Plan(selection=Selection(), hosts=plans).host(host).pattern


@given(RULES, st.sampled_from(HOSTS))
def test_the_most_specific_virtual_host_carries_every_entry_that_matches(rules, host):
    """Nothing is lost by asking one virtual host only, nothing is added, and the order stays."""
    index = RuleIndex(rules)
    carried = index.covering(most_specific(index.patterns, host))
    naive = [(rule.name, tuple(m for m in rule.match if any(d.matches(host) for d in m.domains))) for rule in rules]
    assert [(found.rule.name, found.entries) for found in carried] == [(name, entries) for name, entries in naive if entries]


def test_there_is_always_a_virtual_host_for_everything_else():
    """Requests to hosts that no rule names are checked too."""
    assert RuleIndex(()).patterns == (DomainPattern(text="*"),)


def test_envoy_wants_ipv6_in_brackets():
    """Other hosts are written as they are."""
    assert [virtual_host_domain(DomainPattern(text=text)) for text in ("::1", "*.a.test", "10.0.0.1")] == ["[::1]", "*.a.test", "10.0.0.1"]
