"""`parse`: which kind an object is, and that nothing makes it raise."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from crds import ConfigMap, GlobalSecurityProfile, Problem, SandboxTemplate, Secret, SecurityProfile, parse
from crds.kinds import KINDS
from unit_tests.crds.build import accepted, faults, profile, secret, template


@pytest.mark.parametrize(
    ("raw", "model"),
    [
        (profile(), SecurityProfile),
        (profile("GlobalSecurityProfile"), GlobalSecurityProfile),
        (template(), SandboxTemplate),
        (secret(), Secret),
        ({**secret(), "kind": "ConfigMap"}, ConfigMap),
    ],
)
def test_every_kind_has_its_model(raw: dict[str, Any], model: type) -> None:
    assert type(accepted(raw)) is model


@pytest.mark.parametrize("raw", [None, [], "text", 5, True, 1.5, b"x"])
def test_a_document_that_is_no_map_is_a_problem(raw: Any) -> None:
    assert faults(raw) == [("InvalidType", "")]


def test_an_object_says_what_it_is() -> None:
    assert faults({}) == [("MissingField", "apiVersion"), ("MissingField", "kind")]
    assert faults({"apiVersion": 1, "kind": ["Secret"]}) == [("InvalidType", "apiVersion"), ("InvalidType", "kind")]


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("apps/v1", "Deployment"),
        ("v1", "Pod"),
        ("agents.kruise.io/v1alpha1", "Sandbox"),
        ("example.com/v1", "Secret"),
        ("other.io/v1", "SecurityProfile"),
    ],
)
def test_other_kinds_are_ignored_and_said_to_be(api_version: str, kind: str) -> None:
    parsed = parse({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}, "spec": {"anything": [1]}})
    assert parsed.object is None
    assert [(p.reason, p.fatal) for p in parsed.problems] == [("UnknownKind", False)]


@pytest.mark.parametrize(
    ("api_version", "kind", "field"),
    [
        ("agents.kruise.io/v1alpha1", "SecurityProfle", "kind"),
        ("agents.kruise.io/v1alpha1", "securityprofile", "kind"),
        ("agent.kruise.io/v1alpha1", "SecurityProfile", "apiVersion"),
        ("v1", "SecurityProfile", "apiVersion"),
        ("extensions.agents.x-k8s.io/v1beta1", "SandboxTemplates", "kind"),
        ("v1", "List", "kind"),
        ("agents.kruise.io/v1alpha1", "SecurityProfileList", "kind"),
    ],
)
def test_policy_is_not_ignored_for_a_slip_of_the_keyboard(api_version: str, kind: str, field: str) -> None:
    problems = parse({"apiVersion": api_version, "kind": kind}).problems
    assert [(p.reason, p.field, p.fatal) for p in problems] == [("UnknownKind", field, True)]


@pytest.mark.parametrize(("raw", "wanted"), [(profile(), "agents.kruise.io/v1alpha1"), (template(), "extensions.agents.x-k8s.io/v1beta1")])
def test_an_unknown_version_names_the_known_ones(raw: dict[str, Any], wanted: str) -> None:
    group = raw["apiVersion"].split("/")[0]
    (problem,) = parse({**raw, "apiVersion": f"{group}/v9"}).problems
    assert (problem.reason, problem.field, problem.fatal) == ("UnsupportedVersion", "apiVersion", True)
    assert wanted in problem.message


@pytest.mark.parametrize("bad", [None, [], "x", 5])
@pytest.mark.parametrize("raw", [profile(), template(), secret()])
def test_metadata_of_any_shape_is_a_problem(raw: dict[str, Any], bad: Any) -> None:
    assert [field for _, field in faults({**raw, "metadata": bad})] == ["metadata"]


def test_what_the_yaml_loader_makes_is_read() -> None:
    """Round-trip loaders return subclasses of dict, list, str and int."""
    text = """
    apiVersion: agents.kruise.io/v1alpha1
    kind: "SecurityProfile"
    metadata: {name: 'a'}
    spec:
      selector: {matchLabels: {app: "x"}}
      priority: 0x10
      rules: [{name: r, match: [{domains: ["*"], ports: [0o120]}], actions: {bypass: true}}]
    """
    value = accepted(YAML().load(text))
    assert (value.spec.priority, value.spec.rules[0].match[0].ports) == (16, (80,))


WORDS = sorted(
    {"apiVersion", "kind", "metadata", "spec", "name", "annotations", "labels", "groyne.dev/ca-secret", "groyne.dev/x"}
    | {alias for kind in KINDS for alias in kind.model.known}
    | {
        "selector",
        "rules",
        "match",
        "actions",
        "audit",
        "inputs",
        "matchLabels",
        "matchExpressions",
        "operator",
        "values",
        "domains",
        "paths",
    }
    | {
        "tokenTransformation",
        "credentialRef",
        "apiKey",
        "headerManipulation",
        "set",
        "remove",
        "webhook",
        "request",
        "body",
        "json",
        "text",
    }
)
TEXT = st.one_of(st.sampled_from(WORDS), st.text(st.characters(), max_size=20))
LEAF = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT, st.binary(max_size=3))
JSON = st.recursive(LEAF, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=6)), max_leaves=25)
TYPES = st.sampled_from([(kind.api_versions[0], kind.name) for kind in KINDS])


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(JSON)
def test_nothing_makes_parse_raise(raw: Any) -> None:
    assert all(isinstance(problem, Problem) for problem in parse(raw).problems)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=300)
@given(TYPES, st.dictionaries(TEXT, JSON, max_size=6), JSON, JSON)
def test_nothing_in_an_object_of_ours_makes_parse_raise(names: tuple[str, str], extra: dict[str, Any], metadata: Any, spec: Any) -> None:
    """And a problem of an object can be printed, whatever the object holds."""
    raw = {**extra, "metadata": metadata, "spec": spec, "apiVersion": names[0], "kind": names[1]}
    for problem in parse(raw).problems:
        (problem.message + problem.field).encode()
        assert problem.message.isprintable()


@st.composite
def damaged(draw: st.DrawFn) -> Any:
    """A valid profile with one value replaced by something else."""
    raw = profile(
        rules=[{"name": "r", "match": [{"domains": ["*"], "paths": [{"value": "/"}]}], "actions": {"block": {"statusCode": 403}}}]
    )
    node: Any = raw["spec"]
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = draw(st.sampled_from(keys))
        if not isinstance(node[key], dict | list) or not node[key] or draw(st.booleans()):
            node[key] = draw(JSON)
            return raw
        node = node[key]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=300)
@given(damaged())
def test_an_object_or_a_fatal_problem_never_both(raw: Any) -> None:
    parsed = parse(raw)
    assert (parsed.object is None) is any(problem.fatal for problem in parsed.problems)


@pytest.mark.parametrize(
    "spec",
    [
        None,
        {"rules": {}},
        {"rules": [5] * 20_000},
        {"x" * 10**6: 1},
        {"selector": {"matchLabels": {"a": "x" * 10**6}}},
        {"selector": {}, "rules": [{"name": "x" * 10**6, "match": [{"domains": ["x" * 10**6]}], "actions": {}}]},
    ],
)
def test_monstrous_specs_are_short_problems(spec: Any) -> None:
    problems = parse({**profile(), "spec": spec}).problems
    assert problems
    assert all(len(problem.message) < 300 and len(problem.field) < 300 for problem in problems)


def test_depth_is_no_problem() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    assert ("UnknownField", "spec.a") in faults({**profile(), "spec": deep})
    webhook = {"url": "u", "request": {"body": {"json": deep}}}
    accepted(profile(audit=[{"name": "a", "webhook": webhook}]))
