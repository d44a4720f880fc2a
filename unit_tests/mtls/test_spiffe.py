"""SPIFFE ids, and the language of patterns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtls.files import ConfigurationError
from mtls.spiffe import Pattern, Peers, SpiffeId

SEGMENTS = st.text("abcXYZ019._-", min_size=1, max_size=6).filter(lambda each: each not in {".", ".."})
IDS = st.builds(
    SpiffeId, trust_domain=st.text("abc019._-", min_size=1, max_size=6), path=st.lists(SEGMENTS, min_size=1, max_size=5).map(tuple)
)
ID = SpiffeId(trust_domain="prod.example", path=("ns", "team-a", "sa", "agent"))


def matches(pattern: str, text: str) -> bool:
    return Pattern.parse(pattern).matches(SpiffeId.parse(text))


@given(IDS)
def test_an_id_is_what_its_text_says(found):
    assert SpiffeId.parse(str(found)) == found


@given(IDS)
def test_an_id_is_a_pattern_of_itself_alone(found):
    assert Pattern.parse(str(found)).matches(found)
    assert not Pattern.parse(f"{found}/more").matches(found)
    assert not Pattern.parse(str(found)).matches(SpiffeId(trust_domain=found.trust_domain, path=(*found.path, "more")))


def test_scheme_and_trust_domain_have_no_case_and_the_path_has():
    assert SpiffeId.parse("SPIFFE://Prod.Example/ns/team-a/sa/agent") == ID
    assert SpiffeId.parse("spiffe://prod.example/ns/Team-a/sa/agent") != ID
    assert matches("spiffe://PROD.example/a", "spiffe://prod.EXAMPLE/a")
    assert not matches("spiffe://prod.example/a", "spiffe://prod.example/A")


@pytest.mark.parametrize(
    "text",
    [
        *("", "prod.example/a", "https://prod.example/a", "spiffe:/prod.example/a", "spiffe:///a"),
        *("spiffe://prod.example:443/a", "spiffe://u@prod.example/a", "spiffe://prod example/a", "spiffe://prodé/a"),
        *("spiffe://prod.example/", "spiffe://prod.example/a/", "spiffe://prod.example//a", "spiffe://prod.example/a/../b"),
        *("spiffe://prod.example/a/.", "spiffe://prod.example/a?b", "spiffe://prod.example/a#b", "spiffe://prod.example/a%62"),
        *("spiffe://prod.example/*", "spiffe://" + "a" * 256 + "/a", "spiffe://prod.example/" + "a" * 2048, "spiffe://prod.example/a\n"),
    ],
)
def test_what_spiffe_forbids_is_no_id(text):
    with pytest.raises(ValueError, match="it"):
        SpiffeId.parse(text)


def test_a_star_is_one_segment_and_two_at_the_end_are_one_or_more():
    assert matches("spiffe://d/ns/*/sa/x", "spiffe://d/ns/team-a/sa/x")
    assert not matches("spiffe://d/ns/*/sa/x", "spiffe://d/ns/team-a/more/sa/x")
    assert not matches("spiffe://d/ns/*", "spiffe://d/ns")
    assert matches("spiffe://d/ns/**", "spiffe://d/ns/a")
    assert matches("spiffe://d/ns/**", "spiffe://d/ns/a/b/c")
    assert not matches("spiffe://d/ns/**", "spiffe://d/ns")
    assert not matches("spiffe://d/ns/**", "spiffe://d/other/a")
    assert not matches("spiffe://d/**", "spiffe://e/a")
    assert not matches("spiffe://d/**", "spiffe://d")


@pytest.mark.parametrize(
    "text", ["*", "spiffe://*/a", "spiffe://d", "spiffe://d/", "spiffe://d/a*", "spiffe://d/**/a", "spiffe://d/a//b", "spiffe://d/.."]
)
def test_nothing_is_open_but_whole_segments(text):
    with pytest.raises(ConfigurationError, match=r"(?i)spiffe"):
        Pattern.parse(text)


def test_no_pattern_does_not_mean_everybody():
    for empty in (lambda: Peers(()), Peers.of):
        with pytest.raises(ConfigurationError, match="at least one"):
            empty()


def test_one_of_several_patterns_is_enough():
    peers = Peers.of("spiffe://d/a", " spiffe://d/ns/*/sa/x")
    assert peers.allow(SpiffeId.parse("spiffe://d/a"))
    assert peers.allow(SpiffeId.parse("spiffe://d/ns/q/sa/x"))
    assert not peers.allow(SpiffeId.parse("spiffe://d/b"))
