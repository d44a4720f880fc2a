"""Host patterns: what they match, how they lie to each other, and what could never match."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crds.problem import Problem
from policy.authority import parse_authority
from policy.domains import DomainPattern, parse_domain

LABELS = st.lists(st.sampled_from(["a", "b", "com", "example", "x-y"]), min_size=1, max_size=4).map(".".join)
PATTERNS = st.one_of(st.just("*"), LABELS, LABELS.map("*.{}".format)).map(lambda text: DomainPattern(text=text))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("*", "*"),
        ("*.Example.COM.", "*.example.com"),
        ("API.example.com.", "api.example.com"),
        ("localhost", "localhost"),
        ("my_host", "my_host"),
        ("10.0.0.1", "10.0.0.1"),
        ("[2001:DB8:0::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:1.2.3.4", "::ffff:102:304"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_a_pattern_has_one_spelling(text, canonical):
    assert parse_domain(text) == DomainPattern(text=canonical)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "write a host"),
        ("   ", "write a host"),
        (" api.example.com", "remove the spaces"),
        ("api example.com", "remove the spaces"),
        ("https://api.example.com", "without scheme"),
        ("api.example.com/v1", "without scheme and path"),
        ("10.0.0.0/8", "ranges of addresses"),
        ("api.example.com:8443", "write `api.example.com` and put the port under `ports`"),
        ("[::1]:443", "write `[::1]` and put the port"),
        ("*.example.com:443", "put the port under `ports`"),
        ("api.*.com", "`*.example.com`"),
        ("*example.com", "`*.example.com`"),
        ("*.*.com", "`*.example.com`"),
        ("**", "`*` stands alone"),
        ("*.", "without empty parts"),
        (".example.com", "without empty parts"),
        ("a..b", "without empty parts"),
        ("a..", "without empty parts"),
        ("user@example.com", "without user name"),
        ("bücher.example", "`xn--bcher-kva.example`"),
        ("*.bücher.example", "`*.xn--bcher-kva.example`"),
        ("a%2eb", "letters, digits"),
        ("127.1", "four decimal numbers"),
        ("010.0.0.1", "four decimal numbers"),
        ("256.1.1.1", "four decimal numbers"),
        ("2130706433", "four decimal numbers"),
        ("0x7f.1", "four decimal numbers"),
        ("*.10.0.0.1", "nothing below an address"),
        ("[::1", "IPv6"),
        ("fe80::1%eth0", "letters, digits"),
        ("1:2", "put the port"),
        ("a" * 64 + ".com", "63"),
        ("a." * 127 + "com", "253"),
    ],
)
def test_what_can_match_no_host_is_a_problem_with_its_remedy(text, remedy):
    problem = parse_domain(text)
    assert isinstance(problem, Problem)
    assert problem.reason == "InvalidDomain"
    assert remedy in problem.message


def test_a_wildcard_means_any_depth_below_and_never_the_apex():
    pattern = DomainPattern(text="*.example.com")
    assert pattern.matches("a.example.com")
    assert pattern.matches("a.b.example.com")
    assert not pattern.matches("example.com")
    assert not pattern.matches("fooexample.com")
    assert not pattern.matches(".example.com")


@given(PATTERNS, PATTERNS, LABELS)
def test_covering_is_what_it_says(one, other, host):
    """Whoever covers a pattern matches each of its hosts; patterns that do not overlap share none."""
    if one.covers(other) and other.matches(host):
        assert one.matches(host)
    if not one.overlaps(other):
        assert not (one.matches(host) and other.matches(host))


@given(st.text(max_size=20))
def test_any_text_is_a_pattern_or_a_problem(text):
    found = parse_domain(text)
    if isinstance(found, DomainPattern):
        assert parse_domain(found.text) == found
        if not found.is_any and not found.is_wildcard:
            authority = f"[{found.text}]" if ":" in found.text else found.text
            assert parse_authority(authority) == (found.text, None)
