"""The generated CRDs: structural, complete, and of one mind with the models."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from crds.schema import DEFINITIONS, Definition, definition, files

Node = dict[str, Any]
ALL = pytest.mark.parametrize("kind", DEFINITIONS, ids=lambda kind: kind.plural)
TYPES = {"object", "array", "string", "integer", "boolean"}
ALLOWED = {
    *("type", "format", "description", "default", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum"),
    *("minItems", "maxItems", "items", "properties", "required", "additionalProperties"),
    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"),
    *("x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations"),
}
CEL_KEYWORDS = ("namespace", "package", "loop", "if", "else", "for", "function", "import", "let", "return", "in", "as", "break", "const")


def schema(kind: Definition) -> Node:
    return definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def walk(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if key in node:
            yield from walk(node[key], path + mark)


def at(kind: Definition, path: str) -> Node:
    return next(node for place, node in walk(schema(kind)) if place == path)


def rules(kind: Definition) -> Iterator[tuple[Node, str]]:
    for _, node in walk(schema(kind)):
        for validation in node.get("x-kubernetes-validations", ()):
            yield node, validation["rule"]


@ALL
def test_the_schema_is_structural(kind: Definition) -> None:
    """Every node has a type and only the keys that Kubernetes knows; objects name properties or the schema of their values."""
    for path, node in walk(schema(kind)):
        assert set(node) <= ALLOWED, path
        assert node.get("type") in TYPES, path
        assert ("items" in node) == (node["type"] == "array"), path
        assert not ("properties" in node and "additionalProperties" in node), path
        assert set(node.get("required", ())) <= set(node.get("properties", {})), path


@ALL
def test_every_field_of_the_spec_is_described(kind: Definition) -> None:
    for path, node in walk(schema(kind)):
        if path and not path.endswith(("[]", "{}")) and path != ".metadata":
            assert node.get("description"), path


@ALL
def test_defaults_are_valid_where_they_stand(kind: Definition) -> None:
    """The API server refuses a CRD whose default breaks its own schema."""
    for path, node in walk(schema(kind)):
        if "default" in node:
            assert node["default"] in node.get("enum", [node["default"]]), path
            assert isinstance(node["default"], {"string": str, "integer": int, "boolean": bool}[node["type"]]), path


@ALL
def test_keyed_lists_require_their_key(kind: Definition) -> None:
    lists = [(path, node) for path, node in walk(schema(kind)) if node.get("x-kubernetes-list-type") == "map"]
    assert len(lists) == 6
    for path, node in lists:
        assert set(node["x-kubernetes-list-map-keys"]) <= set(node["items"]["required"]), path


@ALL
def test_cel_reads_only_fields_that_exist_and_escapes_keywords(kind: Definition) -> None:
    found = list(rules(kind))
    assert len(found) >= 14
    for node, rule in found:
        assert not re.search(rf"self\.({'|'.join(CEL_KEYWORDS)})\b", rule), rule
        assert rule.count("(") == rule.count(")"), rule
        for name in re.findall(r"self\.([A-Za-z_]+)", rule):
            assert name.strip("_") in node["properties"], rule


@ALL
def test_cel_tests_presence_of_what_may_be_absent(kind: Definition) -> None:
    """Reading an absent field is an error, and an error refuses the object."""
    for node, rule in rules(kind):
        for name in set(re.findall(r"self\.([A-Za-z_]+)", rule)):
            plain = name.strip("_")
            assert plain in node.get("required", ()) or f"has(self.{name})" in rule, rule


@ALL
def test_bounds_keep_the_costly_rule_affordable(kind: Definition) -> None:
    """The set/remove comparison costs about 16 by 16 per rule: only a bound on the rules keeps it in the API server's budget."""
    assert at(kind, ".spec.rules")["maxItems"] == 16384
    manipulation = at(kind, ".spec.rules[].actions.headerManipulation")
    assert manipulation["properties"]["set"]["maxItems"] == manipulation["properties"]["remove"]["maxItems"] == 16


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".spec", {"required": ["selector"]}),
        (".spec.priority", {"type": "integer", "format": "int32", "default": 1000, "minimum": 0}),
        (".spec.selector", {"x-kubernetes-map-type": "atomic"}),
        (".spec.selector.matchLabels", {"additionalProperties": {"type": "string"}}),
        (".spec.rules[]", {"required": ["actions", "match", "name"]}),
        (".spec.rules[].match[].domains", {"minItems": 1}),
        (".spec.rules[].match[].ports[]", {"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535}),
        (".spec.rules[].match[].paths[].type", {"default": "Prefix", "enum": ["Prefix", "Exact", "Regex"]}),
        (".spec.rules[].match[].headers[].type", {"default": "Exact"}),
        (".spec.rules[].actions.block.statusCode", {"default": 403, "minimum": 100, "maximum": 599, "format": "int32"}),
        (".spec.rules[].actions.tokenTransformation.failStrategy", {"default": "Block", "enum": ["Allow", "Block", "Ignore"]}),
        (".spec.rules[].actions.tokenTransformation.apiKey.targetHeader", {"default": "Authorization", "maxLength": 256}),
        (".spec.audit[].webhook.timeout", {"default": "2s", "type": "string"}),
        (".spec.audit[].webhook.request.body.json", {"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
        (".status.conditions", {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
        (".status.observedGeneration", {"type": "integer", "format": "int64"}),
    ],
)
@ALL
def test_the_schema_says_what_the_api_says(kind: Definition, path: str, expected: Node) -> None:
    node = at(kind, path)
    assert {key: node.get(key) for key in expected} == expected


def test_bypass_has_no_default_to_write_into_stored_objects() -> None:
    assert "default" not in at(DEFINITIONS[0], ".spec.rules[].actions.bypass")


def test_only_a_global_input_must_name_its_namespace() -> None:
    namespaced, everywhere = (json.dumps(at(kind, ".spec.inputs[]")) for kind in DEFINITIONS)
    assert "configMap.__namespace__" in everywhere
    assert "configMap.__namespace__" not in namespaced


@pytest.mark.parametrize(
    ("kind", "scope", "short"), [(DEFINITIONS[0], "Namespaced", ["sp", "secprof"]), (DEFINITIONS[1], "Cluster", ["gsp", "gsecprof"])]
)
def test_names_columns_and_subresources(kind: Definition, scope: str, short: list[str]) -> None:
    crd = definition(kind)
    assert crd["metadata"]["name"] == f"{kind.plural}.agents.kruise.io"
    assert (crd["spec"]["scope"], crd["spec"]["names"]["shortNames"]) == (scope, short)
    assert crd["spec"]["names"]["categories"] == ["groyne"]
    version = crd["spec"]["versions"][0]
    assert (version["served"], version["storage"], version["subresources"]) == (True, True, {"status": {}})
    columns = {column["name"]: column.get("priority", 0) for column in version["additionalPrinterColumns"]}
    assert columns == {"Accepted": 0, "Programmed": 0, "Priority": 0, "Age": 0, "Reason": 1, "Message": 1}


def test_the_owners_template_is_not_generated() -> None:
    assert not any("sandboxtemplates" in name for name in files())


def test_files_are_yaml_of_the_definitions_without_aliases() -> None:
    texts = files()
    for kind in DEFINITIONS:
        text = texts[kind.file_name]
        assert YAML(typ="safe", pure=True).load(text) == definition(kind)
        assert not re.search(r"(^|[\s-])[&*]id\d", text)
        assert all(line == line.rstrip() for line in text.splitlines())
    assert YAML(typ="safe", pure=True).load(texts["kustomization.yaml"])["resources"] == sorted(kind.file_name for kind in DEFINITIONS)
