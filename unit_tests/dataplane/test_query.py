"""Query parameters are read by a filter that runs only where it may find one: never where it would, is it left out."""

import re2
from hypothesis import example, given
from hypothesis import strategies as st

from dataplane.query import naming
from policy.normalise import parse_query

NAMES = st.text("abé=.+*", min_size=1, max_size=3)
QUERIES = st.text("abé=&?%+.6123dD", max_size=16)
OPTIONS = re2.Options()
OPTIONS.encoding = re2.Options.Encoding.LATIN1


def asks(path: str, *wanted: str) -> bool:
    return re2.fullmatch(naming(list(wanted)).encode("latin-1"), path.encode("latin-1"), OPTIONS) is not None


@given(query=QUERIES, wanted=st.lists(NAMES, min_size=1, max_size=3, unique=True))
@example(query="%61=1", wanted=["a"])
@example(query="b=1&a", wanted=["a"])
@example(query="?a=1&a=2", wanted=["?a"])
def test_a_parameter_that_is_there_is_always_read(query, wanted):
    """Whatever the evaluator finds in a query, the filter is asked to look for."""
    if dict(parse_query(query)).keys() & set(wanted):
        assert asks(f"/x?{query}", *wanted)


def test_other_queries_run_no_filter():
    """A value, a part of a name, or a path that looks like the parameter costs nothing."""
    for query in ("", "page=7", "xdebug=1", "debugger=1", "page=debug", "page=%64ebug", "page=a&q=b"):
        assert not asks(f"/debug?{query}", "debug"), query
    assert not asks("/debug=1", "debug")


def test_the_parameter_is_found_wherever_it_stands():
    """First, last, alone, without a value, or with escapes in its name."""
    for path in ("/x?debug", "/x?debug=", "/x?a=1&debug=1", "/x?a&debug&b", "/?%64ebug=1", "/x?a=1&d%65bug"):
        assert asks(path, "debug"), path
