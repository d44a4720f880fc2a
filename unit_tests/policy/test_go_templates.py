"""Go templates: what is accepted renders as in Go, and what is not is a problem that says why."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crds.problem import Problem
from policy.go_templates import TemplateFailure, outline, parse_go_template, render
from policy.program import GoTemplate
from policy.variables import BEFORE, EVENT
from unit_tests.policy.events import variables

DECLARED = frozenset({"hook", "empty"})


def parsed(source, kind=EVENT, inputs=DECLARED):
    return parse_go_template(source, fields=kind, inputs=inputs)


def rendered(source, limit=1000, **changed):
    template = parsed(source)
    assert isinstance(template, GoTemplate), template
    return render(template, variables(**changed), EVENT, limit=limit)


RENDERED = [
    ("", ""),
    ("plain }} text", "plain }} text"),
    ("{{ .Request.Host }}:{{.Request.Port}}", "api.test:443"),
    ("{{ $.Pod.Name }} {{ .Matched }}", "p-0 true"),
    ("{{ .Request.Headers.nope | default `x` }}", None),
    ('{{ index .Request.Headers "nope" | default "x" }}', "x"),
    ('{{ index .Request.Headers "content-type" }}', "application/json"),
    ('{{ index .Inputs.hook "a-b" }}{{ index .Inputs "hook" "a-b" }}', "cc"),
    ('{{ (index .Inputs "hook" "a-b") }}', "c"),
    ("{{ .Inputs.empty.x }}", None),
    ("{{ index .MatchedCriteria 1 }}", "path prefix /v1"),
    ("{{ index .MatchedCriteria 2 }}", None),
    ("{{ index .MatchedCriteria -1 }}", None),
    ("a {{- 1 -}} b {{- /* c */ -}} d", "a1bd"),
    ("{{/* a }} b */}}x", "x"),
    ("{{-3}}", "-3"),
    ('{{ `a}}b` }}{{ "}}" }}', "a}}b}}"),
    ('{{ "a\\n\\t\\"\\u00e9\\U0001F600" }}', 'a\n\t"é😀'),
    ("{{ `a\rb` }}", "ab"),
    ("{{ if eq .Result `blocked` `error` }}no{{ else }}yes{{ end }}", "no"),
    ("{{ if eq .Result `x` }}1{{ else if gt .Response.Status 400 }}2{{ else }}3{{ end }}", "2"),
    ("{{ if not .Request.QueryParams }}none{{ end }}.", "."),
    ("{{ if .Inputs.empty }}x{{ end }}", ""),
    ("{{ if and .Matched (ne .Request.Method `GET`) }}x{{ end }}", "x"),
    ("{{ or `` .Rule.Name }}{{ and `a` `b` }}{{ and `` .Inputs.empty.x }}", "no-adminb"),
    ("{{ len .Request.Path }}{{ len .Request.Headers }}{{ len .MatchedCriteria }}", "622"),
    ("{{ json .Request.Headers }}", '{"content-type":"application/json","x-a":"1"}'),
    ("{{ json .Response }}{{ .Rule | json }}", '{"status":403}{"name":"no-admin"}'),
    ('{{ json `<a>&\u2028\\"` }}', '"\\u003ca\\u003e\\u0026\\u2028\\\\\\""'),
    ("{{ urlquery .Request.Path }}{{ urlquery ` +~-_.*` }}", "%2Fv1%2F%C3%A9+%2B~-_.%2A"),
    ("{{ lt 1 2 }}{{ le `b` `a` }}{{ ge 2 2 }}", "truefalsetrue"),
    ("{{ `x` | eq `x` | not }}", "false"),
    ("{{\n.Result\n}}", "blocked"),
    ("{{ .Result|json }}", '"blocked"'),
]  # fmt: skip


@pytest.mark.parametrize(("source", "expected"), RENDERED)
def test_it_renders_as_in_go(source, expected):
    if expected is not None:
        assert rendered(source) == expected
        return
    with pytest.raises(TemplateFailure) as caught:
        rendered(source)
    assert caught.value.reason == "absent"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ .Request.Hots }}", "no field `.Hots`: there are .Host"),
        ("{{ .request.host }}", "no field `.request`"),
        ("{{ .Request.Host.X }}", "a string has no field"),
        ("{{ .Inputs.other.x }}", "no input `other`: it declares empty, hook"),
        ('{{ index .Inputs "other" "x" }}', "no input `other`"),
        ("{{ .Request.Headers.x-a }}", 'write `index .Request.Headers "x-a"`'),
        ("{{ eq .Request.Port `443` }}", "not a int with a string"),
        ("{{ eq .Request .Request }}", "this is a struct"),
        ("{{ lt .Matched true }}", "this is a bool"),
        ("{{ eq .Result }}", "takes 2 to 16 arguments, not 1"),
        ("{{ json }}", "takes 1 argument, not 0"),
        ("{{ index .Request.Headers 1 }}", "looked into with a string"),
        ("{{ len 3 }}", "this is a int"),
        ("{{ urlquery 3 }}", "this is a int"),
        ("{{ nope .Result }}", "there is no `nope`"),
        ("{{ json urlquery .Result }}", "parentheses around"),
        ("{{ .Result .Result }}", "only a function"),
        ("{{ `a` | .Result }}", "behind `|`"),
        ("{{ `a` | }}", "value is missing"),
        ("{{ }}", "value is missing"),
        ("{{}}", "value is missing"),
        ("{{ (.Result }}", "not closed"),
        ("{{ .Result) }}", "without its `(`"),
        ("{{ .Result", "not closed"),
        ("{{ `a }}", "not closed"),
        ("{{/* a }}", "not closed"),
        ("{{/* a */ .Result }}", "stands alone"),
        ("{{ if .Matched }}x", "end it with `{{ end }}`"),
        ("{{ if .Matched }}{{ else }}{{ else }}{{ end }}", "not closed"),
        ("{{ if }}{{ end }}", "value is missing"),
        ("{{ end }}", "`end` without an `if`"),
        ("{{ else }}", "`else` without an `if`"),
        ("{{ eq `a``b` }}", "space"),
        ("{{ .Result- }}", "a name with `-`"),
        ("{{-.Result}}", "cannot stand here|dot"),
        ('{{ "\\ud800" }}', "is no character"),
        ('{{ "\\q" }}', "is no character"),
        ("{{ 99999999999999999999 }}", "more than a number"),
        ("{{ 007 }}", "cannot stand here"),
        ("x" * 8193, "8192 are allowed"),
        ("{{ not " + "(not " * 90 + "true" + ")" * 90 + " }}", "are allowed|deeper"),
        ("{{ if true }}" * 65 + "{{ end }}" * 65, "deeper than 64"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_when_the_profile_compiles(source, said):
    problem = parsed(source)
    assert isinstance(problem, Problem)
    assert problem.reason in {"InvalidTemplate", "UnsupportedTemplate"}
    assert any(words in problem.message for words in said.split("|")), problem.message


@pytest.mark.parametrize(
    "source",
    [
        "{{ range .MatchedCriteria }}x{{ end }}", "{{ with .Request }}x{{ end }}", "{{ $x := 1 }}", "{{ .Request }}", "{{ .Request.Headers }}", "{{ . }}",
        "{{ json . }}", "{{ json $ }}", "{{ printf `%s` .Result }}", "{{ 'a' }}", "{{ 1.5 }}", "{{ 0x10 }}", "{{ +1 }}", '{{ "\\x41" }}', "{{ template `x` }}",
    ],
)  # fmt: skip
def test_what_go_has_besides_is_refused_by_name(source):
    problem = parsed(source)
    assert isinstance(problem, Problem)
    assert problem.reason == "UnsupportedTemplate"


def test_result_and_reasons_are_not_known_before():
    assert isinstance(parsed("{{ .Result }}", BEFORE), Problem)
    assert rendered("{{ .Response.Status }}", response={}) == "0"


def test_output_is_bounded_in_bytes():
    assert rendered("{{ .Request.Path }}", limit=6) == "/v1/é"
    with pytest.raises(TemplateFailure) as caught:
        rendered("{{ .Request.Path }}", limit=5)
    assert caught.value.reason == "limit"


def test_a_failure_names_no_value():
    with pytest.raises(TemplateFailure) as caught:
        rendered("{{ .Request.Headers.nope }}")
    assert "nope" not in str(caught.value)


def test_a_long_pipeline_neither_recurses_too_deep_nor_computes_twice():
    assert rendered("{{ .Result " + '| default "" ' * 60 + "}}") == "blocked"
    assert rendered("{{ " + "or (" * 40 + ".Result" + ")" * 40 + "}}") == "blocked"
    assert rendered("{{ if true }}" * 64 + "x" + "{{ end }}" * 64) == "x"
    assert rendered("{{ if false }}" + "{{ else if false }}" * 60 + "{{ else }}x{{ end }}") == "x"


def test_an_outline_tells_what_is_computed_from_which_variables():
    template = parsed("https://{{ .Inputs.hook.url }}/{{ if .Matched }}{{ .Request.Path }}{{ end }}")
    assert outline(template, EVENT) == (
        ("https://", frozenset()), ("", frozenset({"inputs"})), ("/", frozenset()), ("", frozenset({"matched", "request"})),
    )  # fmt: skip


PIECES = [
    "{{", "}}", "{{ ", " }}", "{{- ", " -}}", "{{/*", "*/}}", ".Request", ".Host", ".Headers", ".Inputs", ".hook", "$", "if ", "else", "end", " ", "\n", "(", ")", "|",
    '"a"', "`b`", "1", "-", "eq ", "json ", "index ", "default ", "true", "not ", "x", ".", '"', "`", "\\", "é",
]  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text(max_size=30), st.lists(st.sampled_from(PIECES), max_size=14).map("".join)))
def test_any_text_is_a_template_or_a_problem_and_any_rendering_text_or_a_failure(source):
    template = parsed(source)
    if isinstance(template, Problem):
        assert template.message
        return
    try:
        assert isinstance(render(template, variables(), EVENT, limit=1000), str)
    except TemplateFailure:
        return
