"""Values and patterns as users write them: what they become on the wire, and what could never match."""

import re

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from crds.problem import Problem
from policy.paths import is_ambiguous, normalised_path
from policy.patterns import header_match, path_match, regex, string_match
from policy.strings import MatchKind, StringMatch


def message(found):
    assert isinstance(found, Problem), found
    return found.message


def test_text_becomes_the_bytes_that_a_client_sends():
    assert string_match("Exact", "café").matches("caf\xc3\xa9")
    assert not string_match("Exact", "café").matches("caf\xe9")


@pytest.mark.parametrize("value", ["/", "/v1/", "/a/.git", "/a/..b", "/a%20b", "/a%2Fb", "/%C3%A9", "/a;x", "/a%", "/a:b@c"])
@pytest.mark.parametrize("kind", ["Exact", "Prefix"])
def test_normal_paths_stand(kind, value):
    assert path_match(kind, value) == StringMatch(kind=MatchKind(kind.lower()), value=value)


@pytest.mark.parametrize("value", ["/a/.", "/a/..", "/%4", "/a%2"])
def test_the_beginning_of_a_path_may_end_where_a_path_may_not(value):
    assert path_match("Prefix", value).matches(value + "x")


@pytest.mark.parametrize(
    ("kind", "value", "remedy"),
    [
        ("Prefix", "v1", "write `/v1`"),
        ("Prefix", "*", "write `/*`"),
        ("Exact", "/a/../b", "write `/b`"),
        ("Prefix", "/a/../b", "write `/b`"),
        ("Prefix", "/a/./", "write `/a/`"),
        ("Prefix", "//x", "write `/x`"),
        ("Prefix", "//", "write `/`"),
        ("Exact", "//", "refused before any rule"),
        ("Exact", "/a/", None),
        ("Exact", "/a/.", "write `/a/`"),
        ("Exact", "/%41", "write `/A`"),
        ("Prefix", "/a%7Eb", "write `/a~b`"),
        ("Exact", "/a?b=c", "write `/a`"),
        ("Prefix", "/a?", "`queryParams`"),
        ("Exact", "/a#b", "write `/a`"),
        ("Exact", "/é", "write `/%C3%A9`"),
        ("Exact", "/a b", "write `/a%20b`"),
        ("Exact", "/a|b", "write `/a%7Cb`"),
        ("Exact", "/a\\b", "write `/a/b`"),
        ("Exact", "/a/..;x/b", "write `/b`"),
        ("Exact", "/%00", "escaped NUL"),
        ("Exact", "/a\nb", "control character"),
        ("Prefix", "/a\x7f", "control character"),
    ],
)
def test_a_path_that_normalisation_would_change_is_told_its_normal_spelling(kind, value, remedy):
    found = path_match(kind, value)
    if remedy is None:
        assert isinstance(found, StringMatch)
    else:
        assert remedy in message(found)


@given(st.text(alphabet="/.ab%2eEfF41;\\?#é|", max_size=8), st.sampled_from(["Exact", "Prefix"]), st.text(alphabet="/.ab%", max_size=4))
def test_an_accepted_path_can_match_and_a_refused_one_cannot(value, kind, more):
    """Checked against whatever request grows out of the value."""
    found = path_match(kind, "/" + value)
    written = "/" + value + (more if kind == "Prefix" else "")
    path = written.encode().decode("latin-1").partition("?")[0]
    normal = normalised_path(path) if "#" not in path else None
    if isinstance(found, Problem) and normal is not None and not is_ambiguous(normal):
        kind_of_match = MatchKind(kind.lower())
        assert not StringMatch(kind=kind_of_match, value=("/" + value).encode().decode("latin-1")).matches(normal)


def test_a_regex_is_searched_anywhere_unless_it_is_anchored():
    assert regex("admin").matches("/v1/admin/x")
    assert not regex("^admin$").matches("/v1/admin/x")
    assert regex("(?i)^/ADMIN").matches("/admin/x")


def test_a_regex_with_alternatives_stays_one_group():
    assert regex("^a|b$").matches("a--")
    assert not regex("^a|b$").matches("-a-")


@pytest.mark.parametrize(
    ("pattern", "remedy"),
    [
        ("(", "missing )"),
        ("[a-", "RE2 does not accept"),
        ("a)|(b", "RE2 does not accept"),
        (r"(?=a)", "RE2 does not accept"),
        (r"(a)\1", "RE2 does not accept"),
        (r"\Qa", r"close `\Q` with `\E`"),
        ("caf[é]", r"\xC3\xA9"),
        (r"\x{100}", "RE2 does not accept"),
        ("a{1001}", "RE2 does not accept"),
        (r"(?:\pL{100}){100}", "RE2 does not accept"),
        ("(?:[^a]{40}){25}" * 9, "count fewer repetitions"),
    ],
)
def test_a_regex_that_re2_refuses_is_a_problem(pattern, remedy):
    assert remedy in message(regex(pattern))


def test_bytes_can_be_spelled_in_a_regex():
    assert regex(r"caf\xC3\xA9").matches("caf\xc3\xa9")
    assert regex(r"\C\x{e9}").matches("x\xe9")


@given(st.text(alphabet=r"ab|()[]^$.*+?\QECx{}12-", max_size=10))
def test_every_accepted_regex_is_one_that_envoy_accepts_wrapped(pattern):
    found = regex(pattern)
    if isinstance(found, StringMatch):
        found.matches("ab")


@given(st.text(alphabet="ab.*|^$()?", max_size=8), st.text(alphabet="ab", max_size=6))
def test_a_regex_is_a_search_as_another_library_reads_it(pattern, text):
    found = regex(pattern)
    if isinstance(found, StringMatch):
        try:
            naive = re.compile(pattern)
        except re.error:
            return
        assert found.matches(text) == (naive.search(text) is not None)


def test_a_literal_backtracking_trap_takes_no_time():
    assert not regex("(a+)+$").matches("a" * 8192 + "!")
    assert re2.compile(regex("(a|aa)+b").full_pattern)


@pytest.mark.parametrize(("kind", "value"), [("Exact", " a"), ("Exact", "a "), ("Prefix", "\ta")])
def test_space_around_a_header_value_never_matches(kind, value):
    assert "cut off" in message(header_match(kind, value)) or "control" in message(header_match(kind, value))


def test_the_beginning_of_a_header_may_end_in_a_space():
    assert header_match("Prefix", "Bearer ").matches("Bearer x")
