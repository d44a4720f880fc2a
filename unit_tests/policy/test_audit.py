"""`audit` and `inputs` compile to hooks, with every mistake at its field."""

import json

from policy.cel import evaluate_cel
from policy.compile import compile_profile
from policy.go_templates import render
from policy.inputs import missing_config_maps
from policy.program import ConfigMapRef, Engine, Input
from policy.variables import BEFORE
from unit_tests.policy.events import variables
from unit_tests.policy.profiles import block, model, rule, token

BOTH = frozenset(Engine)
URL = "https://audit.test/"


def hook(name="a", url=URL, *, when=None, timeout=None, **request):
    webhook = {"url": url} | ({"request": request} if request else {}) | ({"timeout": timeout} if timeout else {})
    return {"name": name, "webhook": webhook} | ({"when": when} if when is not None else {})


def compiled(*rules, **spec):
    result = compile_profile(model(*rules, **spec), engines=BOTH)
    assert result.profile is not None, result.problems
    return result.profile


def problems(*rules, **spec):
    return [(each.reason, each.field) for each in compile_profile(model(*rules, **spec), engines=BOTH).problems]


def test_a_hook_with_everything_said():
    body = {"json": {"b": ["{{ .Result }}", 1, None, {"c": "x"}], "a": True}}
    given = hook(
        when="result == 'blocked'", timeout="1.5s", method="PUT", headers=[{"name": "X-A", "value": "{{ .Rule.Name }}"}], body=body
    )
    (found,) = compiled(rule(audit=[given])).rules[0].audit
    assert (found.name, found.url.text, found.when.text, found.method, found.timeout) == ("a", URL, "result == 'blocked'", "PUT", 1.5)
    assert [(name, value.text) for name, value in found.headers] == [("x-a", "{{ .Rule.Name }}")]
    assert json.loads(found.json) == body["json"]
    assert found.text is None


def test_a_hook_with_nothing_said_but_where():
    (found,) = compiled(rule(audit=[hook(when=" ")])).rules[0].audit
    assert (found.when, found.method, found.headers, found.json, found.text, found.timeout) == (None, "POST", (), None, None, 2.0)


def test_rules_inherit_the_profiles_hooks_unless_they_have_their_own():
    profile = compiled(rule("own", audit=[hook("mine")]), rule("none"), rule("empty", audit=[]), audit=[hook("shared")])
    assert [[each.name for each in found.audit] for found in profile.rules] == [["mine"], ["shared"], ["shared"]]


def test_rules_that_end_the_walk_are_audited_too():
    profile = compiled(rule("b", block=block()), rule("p", bypass=True), audit=[hook()])
    assert all(found.audit and found.engine is Engine.EXTPROC for found in profile.rules)


def test_every_mistake_has_its_place():
    wrong = hook(
        url="ftp://x/", when="result == 1", headers=[{"name": "Host", "value": "{{ .Nope }}"}, {"name": "x", "value": "a\nb"}],
        body={"json": {"a": ["{{ .Nope }}"], "b": {"c": "{{"}}},
    )  # fmt: skip
    place = "spec.rules[0].actions.audit[0]."
    assert sorted(problems(rule(audit=[wrong])), key=lambda each: each[1]) == sorted(
        [
            ("InvalidUrl", place + "webhook.url"),
            ("InvalidExpression", place + "when"),
            ("ReservedHeader", place + "webhook.request.headers[0].name"),
            ("InvalidTemplate", place + "webhook.request.headers[0].value"),
            ("InvalidValue", place + "webhook.request.headers[1].value"),
            ("InvalidTemplate", place + "webhook.request.body.json.a[0]"),
            ("InvalidTemplate", place + "webhook.request.body.json.b.c"),
        ],
        key=lambda each: each[1],
    )
    assert problems(rule(), audit=[hook(body={"text": "{{ .Nope }}"})]) == [("InvalidTemplate", "spec.audit[0].webhook.request.body.text")]


def test_a_body_that_is_no_json_or_too_deep_is_told():
    deep = "x"
    for _ in range(40):
        deep = [deep]
    place = "spec.rules[0].actions.audit[0].webhook.request.body.json"
    assert problems(rule(audit=[hook(body={"json": {"a": float("nan")}})])) == [("InvalidValue", place)]
    ((reason, field),) = problems(rule(audit=[hook(body={"json": {"a": deep}})]))
    assert (reason, field) == ("InvalidValue", f"{place}.a" + "[0]" * 31)


def test_an_unknown_input_is_told_where_it_is_read():
    spec = {"inputs": [{"name": "hook", "inline": {"url": URL}}]}
    assert not problems(rule(audit=[hook("a", "{{ .Inputs.hook.url }}", when="has(inputs.hook.x)")]), **spec)
    assert problems(rule(audit=[hook("a", "{{ .Inputs.other.url }}")]), **spec) == [
        ("InvalidTemplate", "spec.rules[0].actions.audit[0].webhook.url")
    ]


def test_inputs_are_inline_or_a_config_map_of_the_same_namespace():
    spec = {"inputs": [{"name": "a", "inline": {"y": "2", "x": "1"}}, {"name": "b", "configMap": {"name": "m"}}]}
    assert compiled(rule(), namespace="team", **spec).inputs == (
        Input(name="a", inline=(("x", "1"), ("y", "2"))),
        Input(name="b", config_map=ConfigMapRef(namespace="team", name="m")),
    )
    other = {"inputs": [{"name": "b", "configMap": {"name": "m", "namespace": "other"}}]}
    assert problems(rule(), namespace="team", **other) == [("RefNotGranted", "spec.inputs[0].configMap.namespace")]
    found = compiled(rule(), kind="GlobalSecurityProfile", **other)
    assert found.inputs == (Input(name="b", config_map=ConfigMapRef(namespace="other", name="m")),)


def test_a_config_map_that_is_not_there_is_a_warning_at_its_place():
    profile = compiled(rule(), inputs=[{"name": "a", "inline": {}}, {"name": "b", "configMap": {"name": "m"}}])
    (problem,) = missing_config_maps(profile, set())
    assert (problem.reason, problem.field, problem.fatal) == ("ConfigMapNotFound", "spec.inputs[1].configMap", False)
    assert not list(missing_config_maps(profile, {("default", "m")}))


def provider(**parameters):
    return token() | {"credentialRef": {"credentialProvider": {"name": "p", "parameters": parameters}}}


def test_parameters_of_a_provider_are_compiled():
    given = provider(a={"value": ""}, b={"cel": "[request.host, pod.labels.app]"}, c={"template": "{{ .Pod.Name }}-{{ .Inputs.hook.url }}"})
    profile = compiled(rule(tokenTransformation=given), inputs=[{"name": "hook", "inline": {}}])
    a, b, c = (value for _, value in profile.rules[0].exchange.source.parameters)
    assert a == ""
    assert evaluate_cel(b, variables(), BEFORE) == ["api.test", "agent"]
    assert render(c, variables(), BEFORE, limit=100) == "p-0-https://hook.test"


def test_a_parameter_reads_nothing_that_is_known_only_later():
    place = "spec.rules[0].actions.tokenTransformation.credentialRef.credentialProvider.parameters."
    wrong = provider(a={"cel": "result"}, b={"template": "{{ .Result }}"}, c={"cel": "inputs.nope.x"})
    assert problems(rule(tokenTransformation=wrong)) == [
        ("InvalidExpression", place + "a.cel"), ("InvalidTemplate", place + "b.template"), ("InvalidExpression", place + "c.cel"),
    ]  # fmt: skip
