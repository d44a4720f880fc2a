"""An entry's predicate, read without Envoy, says what `policy.matching` says of the same request."""

from hypothesis import given, settings
from hypothesis import strategies as st

from dataplane import names
from dataplane.hosts import HostRule
from dataplane.matching import credential_condition, entry_condition, headers_read, parameter_header, port_condition
from policy.domains import DomainPattern
from policy.matching import matches
from policy.program import Match, NamedMatch, PathPattern, ProfileRef, Rule, SecretKeyRef, TokenTransformation, ValueTemplate, When
from policy.request import Request
from policy.strings import MatchKind, StringMatch
from unit_tests.dataplane.reading import holds

HOST = "h.test"
STRINGS = st.builds(
    StringMatch, kind=st.sampled_from([MatchKind.EXACT, MatchKind.PREFIX, MatchKind.REGEX]), value=st.sampled_from(["/a", "a", "/", "a,b"])
)
NAMED = st.builds(NamedMatch, name=st.sampled_from(["x", "y", "host"]), match=STRINGS)
ENTRIES = st.builds(
    Match,
    domains=st.just((DomainPattern(text=HOST),)),
    paths=st.lists(st.builds(PathPattern, match=STRINGS), max_size=2).map(tuple),
    methods=st.lists(st.sampled_from(["GET", "POST"]), max_size=2).map(tuple),
    ports=st.lists(st.sampled_from([80, 443, 8080]), max_size=2).map(tuple),
    headers=st.lists(NAMED, max_size=2).map(tuple),
    query=st.lists(st.builds(NamedMatch, name=st.sampled_from(["q", "Q"]), match=STRINGS), max_size=2).map(tuple),
)
VALUES = st.sampled_from(["", "a", "A", "/a", "a,b", "xa"])


@st.composite
def requests(draw):
    port = draw(st.sampled_from([None, 80, 443, 8080]))
    authority = draw(st.sampled_from([HOST, "H.Test"])) + ("" if port is None else f":{port}")
    scheme = draw(st.sampled_from(["http", "https"]))
    return Request(
        method=draw(st.sampled_from(["GET", "POST", "post", "PUT"])),
        scheme=scheme,
        host=HOST,
        port=port or {"http": 80, "https": 443}[scheme],
        path=draw(st.sampled_from(["/", "/a", "/ab", "/b/a"])),
        query=tuple(draw(st.dictionaries(st.sampled_from(["q", "Q"]), VALUES)).items()),
        headers=tuple(draw(st.dictionaries(st.sampled_from(["x", "y"]), VALUES)).items()),
        authority=authority,
    )


def as_envoy_has_it(request: Request) -> dict[str, str]:
    query = {parameter_header(name): value for name, value in request.query}
    own = {":method": request.method, ":authority": request.authority, names.PATH_HEADER: request.path}
    return {**dict(request.headers), **query, **own}


@settings(max_examples=300)
@given(ENTRIES, requests())
def test_an_entry_holds_for_envoy_when_it_holds_for_the_evaluator(entry, request):
    """Paths, methods, ports, headers and parameters; hosts and schemes are decided elsewhere."""
    assert holds(entry_condition(entry, request.scheme), as_envoy_has_it(request)) == matches(entry, request)


def test_a_port_that_is_not_named_is_the_schemes():
    """443 means https without a port too, and not http without one."""
    assert holds(port_condition([443], "https"), {":authority": "h.test"})
    assert not holds(port_condition([443], "http"), {":authority": "h.test"})
    assert holds(port_condition([443], "http"), {":authority": "[::1]:443"})
    assert not holds(port_condition([443], "https"), {":authority": "[::443]:80"})


def test_a_credential_needs_its_when_and_goes_on_no_method_that_echoes():
    """The header must be there, not empty, and match; TRACE and TRACK get nothing, in any case."""
    when = When(header="x", match=StringMatch(kind=MatchKind.REGEX, value="^p|^$"))
    condition = credential_condition(True, when)
    assert holds(condition, {":method": "GET", "x": "p1"})
    for headers in ({":method": "GET"}, {":method": "GET", "x": ""}, {":method": "trace", "x": "p"}, {":method": "TRACK", "x": "p"}):
        assert not holds(condition, headers)


def test_the_headers_that_a_rule_reads_include_its_when():
    """They decide which change must come later."""
    when = When(header="z", match=StringMatch(kind=MatchKind.REGEX, value="a"))
    secret = SecretKeyRef(namespace="n", name="s", key="k")
    token = TokenTransformation(secret=secret, target_header="t", template=ValueTemplate(parts=(None,)), when=when)
    entry = Match(domains=(DomainPattern(text="*"),), headers=(NamedMatch(name="x", match=when.match),))
    rule = Rule(profile=ProfileRef(kind="SecurityProfile", namespace="n", name="p"), name="r", index=0, match=(entry,), token=token)
    assert headers_read(HostRule(rule=rule, entries=rule.match)) == {"x", "z"}
