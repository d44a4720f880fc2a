"""From Pydantic's JSON Schema to the structural schema that a CRD wants.

In: a model. Out: plain data without `$ref`, without unions with null (an absent field says the same), without Pydantic's
titles. Kubernetes' own `x-kubernetes-…` marks come from the models; nothing about a particular kind is known here.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

Schema = dict[str, Any]
INT32_MAX = 2**31 - 1

_ORDER = ("description", "type", "format", "default", "enum")
_DROPPED = frozenset({"title", "$defs", "$ref", "anyOf", "const", "discriminator"})


class _Generator(GenerateJsonSchema):
    """Fields by their YAML names, and the schema of a wrapped validator is that of what it wraps."""

    def function_wrap_schema(self, schema: core_schema.WrapValidatorFunctionSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def structural(model: type[BaseModel], mode: JsonSchemaMode = "validation") -> Schema:
    """The model's schema with everything in its place."""
    raw = model.model_json_schema(by_alias=True, mode=mode, schema_generator=_Generator)
    return _clean(raw, raw.get("$defs", {}))


def _clean(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    whole = _resolve(node, definitions)
    clean = {key: value for key, value in whole.items() if key not in _DROPPED}
    if "properties" in clean:
        clean["properties"] = {name: _clean(child, definitions) for name, child in sorted(clean["properties"].items())}
    if "items" in clean:
        clean["items"] = _clean(clean["items"], definitions)
    _close(clean, definitions)
    if "required" in clean:
        clean["required"] = sorted(clean["required"])
    return {key: clean[key] for key in sorted(clean, key=_rank)}


def _resolve(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """The node with references and `null` alternatives folded into it; what the field itself says wins."""
    merged = dict(node)
    for part in (_referred(node, definitions), _alternative(node)):
        if part is not None:
            merged = {**_resolve(part, definitions), **merged}
    if "x-kubernetes-preserve-unknown-fields" in merged:
        merged.pop("additionalProperties", None)
    if merged.get("default") in (None, "", [], {}):
        merged.pop("default", None)
    if merged.get("format") == "int32" and merged.get("maximum") == INT32_MAX:
        del merged["maximum"]
    return merged


def _referred(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any] | None:
    reference = node.get("$ref")
    return None if reference is None else definitions[reference.removeprefix("#/$defs/")]


def _alternative(node: Mapping[str, Any]) -> Mapping[str, Any] | None:
    choices = [choice for choice in node.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) > 1:
        raise ValueError("a structural schema has no unions")
    return choices[0] if choices else None


def _close(clean: Schema, definitions: Mapping[str, Any]) -> None:
    """Maps keep the schema of their values; objects say nothing, since the API server prunes what they do not name."""
    extra = clean.pop("additionalProperties", None)
    if isinstance(extra, Mapping):
        clean["additionalProperties"] = _clean(extra, definitions)


def _rank(key: str) -> tuple[int, str]:
    return (_ORDER.index(key) if key in _ORDER else len(_ORDER), key)
