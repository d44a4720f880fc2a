"""valueTemplate renders what Go's text/template would, or is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crds.problem import Problem
from policy.program import ValueTemplate
from policy.templates import parse_template


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("Bearer {{ .Token }}", "Bearer T"),
        ("{{.Token}}", "T"),
        ("{{\t.Token\n}}", "T"),
        ("a  {{- .Token -}}  b", "aTb"),
        ("a  {{- .Token }}  b", "aT  b"),
        ("a {{ .Token -}} {{- .Token }} b", "a TT b"),
        ("{{ .Token }}:{{ $.Token }}", "T:T"),
        ('{{ "Bearer " }}{{ .Token }}', "Bearer T"),
        ("{{ `}` }}{{ .Token }}", "}T"),
        ("{{/* the key */}}{{ .Token }}", "T"),
        ("x {{- /* cut */ -}} {{ .Token }}", "xT"),
        ("{{ .Token }}}}", "T}}"),
        ("{ {.Token} }", "{ {.Token} }"),
        ("plain", "plain"),
        ("100% {{ .Token }} %REQ(x)%", "100% T %REQ(x)%"),
        ("schlüssel {{ .Token }}", "schl\xc3\xbcssel T"),
    ],
)
def test_it_renders_as_in_go(text, rendered):
    assert parse_template(text).render("T") == rendered


@pytest.mark.parametrize(
    "text",
    [
        "{{ .token }}",
        "{{ .Token | printf }}",
        "{{ if .Token }}x{{ end }}",
        "{{ .Request.Host }}",
        "{{-.Token}}",
        "{{ .Token-}}",
        "{{ .Token",
        "{{}}",
        "{{ }}",
        '{{ "a\\n" }}',
        "{{ .Token }} {{",
        "{{ Token }}",
        "{{ (.Token) }}",
    ],
)
def test_what_go_would_render_otherwise_or_not_at_all_is_refused(text):
    problem = parse_template(text)
    assert isinstance(problem, Problem)
    assert problem.reason == "UnsupportedTemplate"


@pytest.mark.parametrize(
    "text", ["Bearer\n{{ .Token }}", "{{ .Token }}\n", "a\x00{{ .Token }}", " {{ .Token }}", "{{ .Token }} ", "{{ `\n` }}{{ .Token }}"]
)
def test_what_no_header_can_hold_is_refused(text):
    problem = parse_template(text)
    assert isinstance(problem, Problem)
    assert problem.reason == "InvalidValue"


@given(st.text(alphabet='{}.-Token "`/*|\n\\', max_size=30))
def test_any_text_is_a_template_or_a_problem(text):
    found = parse_template(text)
    if isinstance(found, ValueTemplate):
        assert "\n" not in found.render("T")


@given(st.text(alphabet="ab{} ", max_size=12).filter(lambda text: "{{" not in text and text == text.strip()))
def test_text_without_actions_stays_as_it_is(text):
    assert parse_template(text).render("T") == text
