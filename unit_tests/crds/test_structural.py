"""From a model to a structural schema."""

from typing import Annotated, Any, ClassVar, Literal

import pytest
from annotated_types import MaxLen
from pydantic import Field

from crds.base import Model
from crds.fields import Int32, Keyed, Str
from crds.laws import Law, at_most_one
from crds.structural import structural


class Inner(Model):
    """What it is."""

    name: Str
    mode: Literal["a", "b"] = "a"


class Outer(Model):
    """Holds inner ones."""

    laws: ClassVar[tuple[Law, ...]] = (at_most_one("one", "free"),)

    one: Inner | None = None
    """The one."""
    many: Annotated[tuple[Inner, ...], MaxLen(3), Keyed("name")] = ()
    count: Int32 = 5
    table: dict[Str, Str] = Field(default_factory=dict)
    free: Annotated[dict[Str, Any] | None, Field(json_schema_extra={"x-kubernetes-preserve-unknown-fields": True})] = None


SCHEMA = structural(Outer)
PROPERTIES = SCHEMA["properties"]


def test_a_reference_is_replaced_and_the_fields_own_words_win() -> None:
    assert PROPERTIES["one"]["type"] == "object"
    assert PROPERTIES["one"]["description"] == "The one."
    assert PROPERTIES["one"]["required"] == ["name"]
    assert PROPERTIES["many"]["items"]["description"] == "What it is."


def test_defaults_stay_where_they_say_something() -> None:
    assert PROPERTIES["count"] == {"type": "integer", "format": "int32", "default": 5, "minimum": -(2**31)}
    assert PROPERTIES["one"]["properties"]["mode"]["default"] == "a"
    assert "default" not in PROPERTIES["one"]
    assert "default" not in PROPERTIES["many"]
    assert "required" not in SCHEMA


def test_kubernetes_marks_survive() -> None:
    assert PROPERTIES["many"]["x-kubernetes-list-map-keys"] == ["name"]
    assert PROPERTIES["many"]["maxItems"] == 3
    assert PROPERTIES["free"] == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    assert SCHEMA["x-kubernetes-validations"][0]["rule"] == "(has(self.one) ? 1 : 0) + (has(self.free) ? 1 : 0) <= 1"


def test_a_map_keeps_the_schema_of_its_values() -> None:
    assert PROPERTIES["table"] == {"type": "object", "additionalProperties": {"type": "string"}}


def test_a_union_is_refused() -> None:
    class Either(Model):
        value: int | str

    with pytest.raises(ValueError, match="no unions"):
        structural(Either)
