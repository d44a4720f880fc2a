"""Paths become what Envoy 1.40 forwards; every pair in the table was seen with the real one."""

import pytest
import re2
from hypothesis import example, given
from hypothesis import strategies as st

from policy import paths
from policy.paths import (
    AMBIGUOUS_ESCAPED,
    AMBIGUOUS_PATH,
    ESCAPED_SLASH,
    has_ambiguous_escape,
    has_escaped_slash,
    is_ambiguous,
    normalised_path,
    unescaped,
)

SEEN = {
    "/a/../../b": "/b",
    "/a/./b": "/a/b",
    "/a/b/..": "/a/",
    "/a/b/.": "/a/b/",
    "//a": "/a",
    "/%2e%2E/": "/",
    "/x/%2e%2e/y": "/y",
    "/.%2e/y": "/y",
    "/a;b": "/a;b",
    "/a\\b": "/a/b",
    "/..\\b": "/b",
    "/a%5cb": "/a%5cb",
    "/a%2fb": "/a%2fb",
    "/%2F..%2fb": "/%2F..%2fb",
    "/a/%2e%2e%2fb": "/a/..%2fb",
    "/%2E%2E%2F": "/..%2F",
    "/%zz": "/%zz",
    "/a%": "/a%",
    "/a%4": "/a%4",
    "/%41%7e%7E%2d": "/A~~-",
    "/..": "/",
    "/.": "/",
    "/...": "/...",
    "/..a": "/..a",
    "/a//": "/a/",
    "/a///b//c": "/a/b/c",
    "/a//../b": "/a/b",
    "/a/..//b": "/b",
    "//": "//",
    "///": "//",
    "/\\": "//",
    "/%c3%a9": "/%c3%a9",
    "/%C3%A9": "/%C3%A9",
    "/%0a": "/%0a",
    "/%20": "/%20",
    "/%25": "/%25",
    "/%2525": "/%2525",
    "/%252e%252e/": "/%252e%252e/",
    "/%3f%23%3b": "/%3f%23%3b",
    "/a|b^c`d": "/a%7Cb%5Ec%60d",
    '/a"b<c>d{e}': "/a%22b%3Cc%3Ed%7Be%7D",
    "/a[b]'c": "/a[b]'c",
    "/\xe9": "/%E9",
    "/\xff%\x80": "/%FF%%80",
    "/a/..;/b": "/b",
    "/a/..;foo=bar/b": "/b",
    "/a/.;x": "/a/",
    "/a/..;x/..;y/b": "/b",
    "/a/...;/b": "/a/...;/b",
    "/a;..;/b": "/a;..;/b",
    "/a/%2e%2e;/b": "/a/..;/b",
    "/a/%2e;x/b": "/a/.;x/b",
    "/a/..%3b/b": "/a/..%3b/b",
    "/a\\..;\\b": "/a/..;/b",
    "/a/..;\\b": "/",
    "/a/..;%2f/b": "/b",
    "/%%41": "/%A",
    "/%%34%31": "/%2541",
    "/%2%35": "/%2525",
    "/%%32%65": "/%252e",
    "/%2%65": "/%252e",
    "/%%2e": "/%.",
    "/%4%31": "/%2541",
    "/%%61a": "/%25aa",
    "/%%61": "/%a",
    "/a%2%65/..": "/",
    "/%2%2e": "/%2.",
}

NASTY = st.lists(
    st.sampled_from(
        ["/", "/", ".", "..", "%2e", "%2E", ";", "%2f", "%5C", "\\", "a", "B", "%", "%2", "4", "%35", "%65", "%00", "~", "%25", "\xe9", "|"]
    ),
    max_size=10,
).map(lambda parts: "/" + "".join(parts))


@pytest.mark.parametrize(("sent", "forwarded"), SEEN.items())
def test_a_path_is_what_envoy_forwards(sent, forwarded):
    assert normalised_path(sent) == forwarded


@pytest.mark.parametrize("path", ["/%00", "/a/.%00./b", "/%00/.."])
def test_an_escaped_nul_is_refused(path):
    assert normalised_path(path) is None


@given(NASTY)
@example("/%2e%2e/%2%65")
def test_normalising_again_changes_nothing_unless_the_path_is_refused_as_ambiguous(path):
    once = normalised_path(path)
    if once is not None and not is_ambiguous(once):
        assert normalised_path(once) == once


@given(NASTY)
@example("/a%2f..;x")
@example("/a/..%5c")
@example("/a%2f")
def test_the_patterns_for_envoy_say_what_the_functions_say(path):
    once = normalised_path(path)
    if once is not None:
        assert bool(re2.fullmatch(AMBIGUOUS_PATH, once)) == is_ambiguous(once)
        assert bool(re2.fullmatch(ESCAPED_SLASH, once)) == has_escaped_slash(once)
        assert bool(re2.fullmatch(AMBIGUOUS_ESCAPED, once)) == has_ambiguous_escape(once)


@given(NASTY)
@example("/a%2f..%2fb")
@example("/a%5c./b")
def test_an_escaped_slash_that_is_not_ambiguous_unescapes_to_a_normal_path(path):
    once = normalised_path(path)
    if once is not None and not is_ambiguous(once) and has_escaped_slash(once) and not has_ambiguous_escape(once):
        assert normalised_path(unescaped(once)) == unescaped(once)


@pytest.mark.parametrize("path", ["//", "/a/%2e%2e;/b", "/%2e;"])
def test_what_envoy_leaves_undone_is_ambiguous(path):
    assert is_ambiguous(normalised_path(path))


@given(st.text(alphabet="ab./%2e;~[]-", max_size=12).map(lambda text: "/" + text))
def test_a_path_that_is_taken_as_it_stands_is_one_that_normalising_leaves_as_it_is(path):
    if paths._PLAIN.match(path):
        pieces = paths._PIECE.findall(paths._DOT_PARAMETERS.sub(r"\1", path))
        assert paths._merged("".join(paths._segments(pieces))) == path
