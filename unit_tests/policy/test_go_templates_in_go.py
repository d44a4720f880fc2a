"""Go's own text/template says the same of every template that we accept: the same text, or an error where we fail."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from crds.problem import Problem
from policy.go_templates import TemplateFailure, parse_go_template, render
from policy.variables import EVENT
from unit_tests.policy.events import variables
from unit_tests.policy.test_go_templates import PIECES, RENDERED

GO = shutil.which("go")
pytestmark = pytest.mark.skipif(GO is None, reason="there is no `go` on this machine")


@pytest.fixture(scope="module")
def go(tmp_path_factory):
    """The renderer, built once; it answers line by line."""
    built = tmp_path_factory.mktemp("go") / "renderer"
    source = Path(__file__).parent / "go_renderer" / "main.go"
    subprocess.run([str(GO), "build", "-o", str(built), str(source)], check=True, timeout=110, cwd=built.parent)
    with subprocess.Popen([str(built)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:

        def ask(source, values):
            process.stdin.write(json.dumps({"template": source, "values": values}) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()


def agree(go, source, values):
    template = parse_go_template(source, fields=EVENT)
    if isinstance(template, Problem):
        return False
    answer = go(source, values)
    try:
        ours = {"stage": "done", "text": render(template, values, EVENT, limit=100_000)}
    except TemplateFailure:
        assert answer["stage"] == "execute", (source, answer)
        return True
    assert ours == answer, source
    return True


@pytest.mark.parametrize("source", [source for source, _ in RENDERED])
def test_go_renders_the_examples_alike(go, source):
    assert agree(go, source, variables())


TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)
KEYS = st.sampled_from(["x-a", "a", "content-type", "", "é"])
LITERALS = st.sampled_from(['"a"', '"b"', '""', "`x-a`", '"/v1/é"', '"<&>"', '"blocked"'])
STRINGS = st.recursive(
    st.one_of(
        LITERALS,
        st.sampled_from(
            [".Request.Host", ".Request.Path", "$.Result", ".Pod.Name", ".Rule.Name", ".Request.Headers.a", ".Inputs.hook.url"]
        ),
        st.builds('(index {} "{}")'.format, st.sampled_from([".Request.Headers", ".Pod.Labels", ".Inputs.hook", ".Inputs.nope"]), KEYS),
        st.builds('(index .Inputs "{}" "{}")'.format, st.sampled_from(["hook", "no"]), KEYS),
        st.builds("(index .MatchedCriteria {})".format, st.integers(-1, 3)),
    ),
    lambda inner: st.one_of(
        st.builds("(default {} {})".format, inner, inner),
        st.builds("({} | default {})".format, inner, inner),
        st.builds("(urlquery {})".format, inner),
        st.builds("(json {})".format, inner),
        st.builds("({} {} {})".format, st.sampled_from(["and", "or"]), inner, inner),
    ),
    max_leaves=4,
)
NUMBERS = st.one_of(
    st.integers(-3, 500).map(str), st.just(".Response.Status"), st.builds("(len {})".format, STRINGS), st.just("(len .Request.Headers)")
)
BOOLS = st.recursive(
    st.one_of(
        st.just("true"),
        st.just(".Matched"),
        st.builds("({} {} {})".format, st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"]), STRINGS, STRINGS),
        st.builds("({} {} {})".format, st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"]), NUMBERS, NUMBERS),
    ),
    lambda inner: st.one_of(
        st.builds("(not {})".format, inner), st.builds("({} {} {})".format, st.sampled_from(["and", "or", "eq"]), inner, inner)
    ),
    max_leaves=3,
)
CONDITIONS = st.one_of(
    STRINGS, NUMBERS, BOOLS, st.sampled_from([".Request.Headers", ".Inputs", ".MatchedCriteria", ".Request", "(and .Matched .Result)"])
)
SPACES = st.sampled_from(["", " ", "\n", " \t\r\n", "x", " }} ", "- "])
OPEN, CLOSE = st.sampled_from(["{{", "{{ ", "{{- ", "{{\n"]), st.sampled_from(["}}", " }}", " -}}", "\n-}}"])


@st.composite
def templates(draw, depth=2):
    pieces = []
    for _ in range(draw(st.integers(1, 3))):
        pieces.append(draw(SPACES))
        if depth and draw(st.booleans()):
            otherwise = draw(st.sampled_from(["", "{{ else }}", "{{- else -}}", "{{ else if eq .Result `blocked` }}"]))
            pieces += [draw(OPEN), "if ", draw(CONDITIONS), draw(CLOSE), draw(templates(depth=depth - 1)), otherwise]
            pieces += [draw(templates(depth=depth - 1)) if otherwise else "", draw(OPEN), "end", draw(CLOSE)]
        else:
            shown = st.one_of(
                STRINGS, NUMBERS, BOOLS, st.sampled_from(["json .Request", "json .Inputs", "json .MatchedCriteria", "/* c */"])
            )
            pieces += [draw(OPEN), draw(shown), draw(CLOSE)]
    return "".join(pieces)


@st.composite
def values(draw):
    texts = st.dictionaries(KEYS, TEXT, max_size=3)
    return variables(
        result=draw(st.sampled_from(["blocked", "mutated", ""])),
        request=variables()["request"] | {"host": draw(TEXT), "path": draw(TEXT), "headers": draw(texts)},
        pod=variables()["pod"] | {"labels": draw(texts)},
        inputs={"hook": draw(texts)},
        response={"status": draw(st.integers(0, 600))},
        matchedCriteria=draw(st.lists(TEXT, max_size=3)),
    )


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate, Phase.shrink])
@given(source=templates(), root=values())
def test_go_renders_what_is_generated_alike(go, source, root):
    agree(go, source, root)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(source=st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_go_accepts_whatever_we_accept(go, source):
    agree(go, source, variables())
