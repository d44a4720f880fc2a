"""CEL: mistakes are problems when a profile compiles; an evaluation gives a value or a CelFailure, in bounded time."""

import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crds.problem import Problem
from policy.cel import LONGEST, CelFailure, compile_cel, evaluate_cel, holds
from policy.program import CelExpression
from policy.variables import AFTER, BEFORE
from unit_tests.policy.events import variables


def compiled(source, result="json", kind=AFTER, inputs=frozenset({"hook", "empty"})):
    return compile_cel(source, variables=kind, result=result, inputs=inputs)


def value(source, **changed):
    expression = compiled(source)
    assert isinstance(expression, CelExpression), expression
    return evaluate_cel(expression, variables(**changed), AFTER)


def failure(source, **changed):
    with pytest.raises(CelFailure) as caught:
        value(source, **changed)
    return caught.value.reason


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("result == 'blocked'", True),
        ("result in ['blocked', 'error']", True),
        ("request.port == 443 && request.scheme == 'https'", True),
        ("request['host']", "api.test"),
        ("'x-b' in request.headers", False),
        ("request.headers['x-a']", "1"),
        ("has(request.headers.foo)", False),
        ("has(request.host) && has(response.status)", True),
        ("has( request . path )", True),
        ("has(inputs.hook.url) ? inputs.hook.url : ''", "https://hook.test"),
        ("inputs['hook']['a-b']", "c"),
        ("request.headers.nope == 'x' || true", True),
        ("false && request.headers.nope == 'x'", False),
        ("request.headers.exists(k, k.startsWith('x-'))", True),
        ("size(pod.labels.map(k, k))", 2),
        ("[1, 2, 3].filter(x, x > 1).map(y, y * 2)", [4, 6]),
        ("{'a': 1, 'b': [null, 1.5, true], 'c': {'d': null}}", {"a": 1, "b": [None, 1.5, True], "c": {"d": None}}),
        ("request.path.matches('v1')", True),
        ("request.path.matches('^v1')", False),
        (r"request.path.matches(r'^/v\d/.$')", True),
        ("request.headers['x-a'].matches('1') && request.headers[['x-a'][0]].matches('^1$')", True),
        ("!(inputs.hook['url'].matches('^http:') || 'a'.matches('b'))", True),
        ("size(request.path)", 5),
        ("size('é')", 1),
        ("b'é' == bytes('é')", True),
        ("string(b'a')", "a"),
        ("int('12') + 1", 13),
        ("7 / 2", 3),
        ("7.0 / 2.0", 3.5),
        ("timestamp('2024-01-01T00:00:00Z') + duration('1h') == timestamp('2024-01-01T01:00:00Z')", True),
        ("string(timestamp('2024-01-01T00:00:00Z'))", "2024-01-01T00:00:00Z"),
        ("double(1) == 1.0 && 1u == uint(1)", True),
        ("dyn(1) == 'a'", False),
        ("'// no comment' // a comment", "// no comment"),
        ("'[1].all(a, [1].all(b, true))'", "[1].all(a, [1].all(b, true))"),
        (".request.host", "api.test"),
        ("{'request': 'x'}.request", "x"),
    ],
)
def test_it_means_what_the_language_says(source, expected):
    assert value(source) == expected


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("request.headers['nope']", "absent"),
        ("request.headers.nope", "absent"),
        ("inputs.empty.x", "absent"),
        ("[1][3]", "failed"),
        ("1 / 0", "type"),
        ("9223372036854775807 + 1", "failed"),
        ("int('x')", "type"),
        ("string(b'\\xff')", "type"),
        ("1.0 / 0.0", "type"),
        ("{1: 2}", "type"),
        ("[b'x']", "type"),
        ("[timestamp('2024-01-01T00:00:00Z')]", "type"),
    ],
)
def test_what_cannot_be_computed_is_a_failure_and_no_value(source, said):
    assert failure(source) == said


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("1 +", "column 4"),
        ("nope == 1", "undeclared reference to 'nope'"),
        ("nope(1)", "'nope'"),
        ("request.host.lowerAscii()", "'lowerAscii'"),
        ("request.port > 'a'", "no matching overload"),
        ("request.hots == ''", "`request` has no `hots`: it has host, port"),
        ("request['hots'] == ''", "`request` has no `hots`"),
        ("has(response.stats)", "`response` has no `stats`"),
        ("inputs.other.x", "no input `other`: it declares empty, hook"),
        ("request.path.matches(request.host)", "its pattern stands there as text"),
        ("matches(request.path, 'a')", "its pattern stands there as text"),
        ("(request.path + request.host).matches('a')", "`matches` reads a variable"),
        ("[request.path + request.host][0].matches('a')", "`matches` reads a variable"),
        ("{'a': request.path + request.host}.a.matches('a')", "`matches` reads a variable"),
        ("string(request.port).matches('a')", "`matches` reads a variable"),
        ("request.headers.all(k, k.matches('a'))", "`matches` in a comprehension"),
        (" || ".join(["request.path.matches('a')"] * 5), "5 patterns could take long"),
        ("[1].all(x, [1].all(y, true))", "comprehension within another"),
        ("[1].\n map( x , {'a': [1] . exists_one ( y , true )})", "comprehension within another"),
        ("[1].all(request, true)", "`request` is a variable already"),
        ("b'x'", "JSON has no bytes"),
        ("duration('1s')", "JSON has no duration"),
        ("'a" + "a" * LONGEST + "'", "1024 are allowed"),
        ("'\ud800'", "character that is none"),
        ("'\0'", "character that is none"),
        ("(" * 400 + "1" + ")" * 400, "nested too deep"),
        ("1" + "+1" * 400, "depth"),
    ],
)
def test_a_mistake_is_told_when_the_profile_compiles(source, said):
    problem = compiled(source)
    assert isinstance(problem, Problem)
    assert problem.reason == "InvalidExpression"
    assert said in problem.message


@pytest.mark.parametrize("pattern", ["(", "(?=a)", r"\\1", "(((a{900}){1}b{900}){1}c{900})d{900}|(é{900}){1}x{900}.{900}"])
def test_a_regex_that_re2_refuses_is_told_too(pattern):
    problem = compiled(f"request.path.matches('{pattern}')")
    assert isinstance(problem, Problem)
    assert problem.reason == "InvalidRegex"


@pytest.mark.parametrize("source", ["request.host", "inputs.hook.url", "1", "request['host']", "null"])
def test_a_condition_must_be_true_or_false(source):
    problem = compiled(source, "bool")
    assert isinstance(problem, Problem)
    assert "true or false" in problem.message


def test_a_parameter_is_computed_before_there_is_a_result():
    assert isinstance(compiled("request.host", kind=BEFORE), CelExpression)
    assert isinstance(compiled("result", kind=BEFORE), Problem)


def test_without_an_answer_there_is_no_status():
    assert value("has(response.status)", response={}) is False
    assert failure("response.status == 200", response={}) == "absent"


def test_no_condition_always_holds():
    assert holds(None, {}, AFTER)


def test_a_failure_names_no_value_of_the_request():
    with pytest.raises(CelFailure) as caught:
        value("inputs.hook[request.path]", request=variables()["request"] | {"path": "/s3cret"})
    assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__ is None}"


def test_text_that_c_would_cut_or_choke_on_is_read_whole():
    request = variables()["request"] | {"path": "/a\0b", "headers": {"x": "\udc80y"}}
    assert value("request.path", request=request) == "/a\ufffdb"
    assert value("request.headers.x", request=request) == "?y"


def test_the_worst_that_is_accepted_ends_soon():
    """Found by trying: counted repetitions cost RE2 most, on texts that keep many of them alive."""
    headers = {f"h{number}": "xy" * 300 for number in range(99)} | {"a": "".join("xy"[number * number % 7 % 2] for number in range(4096))}
    request = variables()["request"] | {"headers": headers}
    found = [
        " || ".join(["request.headers.a.matches('x[xy]{120}z')"] * 4),
        " || ".join(["request.headers.a.matches('(x|y)*x(x|y){40}z')"] * 4),
        "request.headers.all(k, " + " && ".join(["!request.headers[k].contains('xxyxxyxxy')"] * 20) + ")",
        f"[{','.join('1' * 300)}].all(q, size(" + "+".join(["request.headers.a"] * 12) + ") > 0)",
    ]
    for source in found:
        expression = compiled(source)
        assert isinstance(expression, CelExpression), expression
        start = time.perf_counter()
        evaluate_cel(expression, variables(request=request), AFTER)
        assert time.perf_counter() - start < 0.5, source


def test_a_pattern_or_a_loop_meets_no_longer_text_than_it_can_bear():
    request = variables()["request"] | {"path": "/" + "x" * 4096}
    for source in ("request.path.matches('x')", "request.headers.all(k, true)"):
        assert failure(source, request=request) == "limit"
    assert value("request.path.startsWith('/x') && size(request.path) == 4097", request=request) is True


def test_a_result_is_bounded():
    request = variables()["request"] | {"headers": {f"h{number}": "v" * 600 for number in range(100)}}
    assert failure("request.headers.map(k, request.headers)", request=request) == "limit"
    assert len(value("request.headers", request=request)) == 100


def test_more_steps_than_allowed_are_not_taken():
    headers = {f"h{number}": "" for number in range(10_001)}
    assert failure("request.headers.all(k, true)", request=variables()["request"] | {"headers": headers}) == "limit"


def test_nulls_in_results_do_not_wear_none_out():
    """The library's own conversion takes one reference to None too many, which ends Python 3.11 after some thousand results."""
    before = sys.getrefcount(None)
    for _ in range(2000):
        assert value("[null, {'a': null}]") == [None, {"a": None}]
    assert sys.getrefcount(None) > before - 500


WORDS = [
    "request", ".host", ".headers", "['x-a']", "result", "(", ")", "[", "]", "{", "}", ":", ",", "==", "&&", "||", "!", "?", "+", "-", "*", "/", "%",
    " in ", "1", "0", "-1", "9223372036854775807", "1.5", "1u", "'a'", "b'x'", "null", "true", "has(", ".all(x,", ".map(x,", "x", "size(", "int(",
    "string(", "timestamp(", "duration(", "'1h'", "matches(", ".matches('a')", "type(", "dyn(", "google.protobuf.Struct{", "`", "\\", '"', "\n", "//",
]  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)), st.sampled_from(["bool", "json"]))
def test_any_text_is_an_expression_or_a_problem_and_any_evaluation_a_value_or_a_failure(source, result):
    expression = compiled(source, result)
    if isinstance(expression, Problem):
        assert expression.message
        return
    try:
        found = evaluate_cel(expression, variables(), AFTER)
    except CelFailure:
        return
    assert isinstance(found, bool) or result == "json"


TEXT = st.text(max_size=8)


@settings(max_examples=100, deadline=None)
@given(headers=st.dictionaries(TEXT, TEXT, max_size=5), path=TEXT, port=st.integers(), name=TEXT)
def test_whatever_a_request_holds_an_evaluation_ends_in_a_value_or_a_failure(headers, path, port, name):
    request = variables()["request"] | {"headers": headers, "path": path, "port": port}
    expression = compiled("request.headers.map(k, request.headers[k] + request.path) + [string(request.port), pod.name]")
    try:
        found = evaluate_cel(expression, variables(request=request, pod=variables()["pod"] | {"name": name}), AFTER)
    except CelFailure:
        return
    assert all(isinstance(each, str) for each in found)


def test_the_library_and_its_neighbours_live_in_one_process():
    """Each brings its own copy of RE2, abseil and protobuf."""
    code = """
import grpc, re2
from google.protobuf import struct_pb2
from policy.cel import compile_cel, evaluate_cel
from policy.variables import BEFORE
e = compile_cel("request.path.matches('a')", variables=BEFORE, result="bool")
assert struct_pb2.Struct() is not None and re2.search("a", "a") and grpc.__version__ and e.text
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
