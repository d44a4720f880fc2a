"""How a model of ours reads a raw dict.

An explicit null counts as absent, as the API server treats it. Unknown fields are named together with the field that was
probably meant, laws between fields are checked on the raw dict, and neither hides the other: every finding about an object
is reported at once, whatever else is wrong with it. Findings travel as Pydantic errors whose type is our reason; `errors`
turns them into Problems.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from crds.laws import Law, Place
from crds.nearest import did_you_mean
from crds.paths import shorten
from crds.reasons import Reason

T = TypeVar("T")

_OURS = {str(reason) for reason in Reason}


def custom(reason: Reason, message: str) -> PydanticCustomError:
    """A finding of ours as Pydantic wants it; the message is no template, so braces in it stay as they are."""
    return PydanticCustomError(str(reason), "{text}", {"text": message})


def finding(place: Place, reason: Reason, message: str) -> InitErrorDetails:
    return InitErrorDetails(type=custom(reason, message), loc=place, input=None)


def gather(title: str, found: Iterable[InitErrorDetails], read: Callable[[], T]) -> T:
    """What `read` returns, unless it or `found` holds errors: then all of them together."""
    details = list(found)
    try:
        value = read()
    except ValidationError as error:
        if not details:
            raise
        details.extend(_again(error))
    if details:
        raise ValidationError.from_exception_data(title, details, hide_input=True)
    return value


def _again(error: ValidationError) -> Iterator[InitErrorDetails]:
    for line in error.errors(include_url=False):
        context = line.get("ctx", {})
        kind = line["type"]
        known: Any = custom(Reason(kind), str(context.get("text", ""))) if kind in _OURS else kind
        yield InitErrorDetails(type=known, loc=line["loc"], input=line["input"], ctx=context)


class Model(BaseModel):
    """An object whose fields are all ours to interpret: an unknown one is a mistake."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    laws: ClassVar[tuple[Law, ...]] = ()
    known: ClassVar[frozenset[str]] = frozenset()
    """The fields' names as they are written in YAML."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_options: Any) -> None:
        cls.known = frozenset(field.alias or name for name, field in cls.model_fields.items())

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, raw: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not isinstance(raw, dict):
            return handler(raw)
        given = {key: value for key, value in raw.items() if value is not None}
        found = [*cls._breaches(given)]
        if cls.model_config.get("extra") == "forbid" and not cls.known.issuperset(raw):
            found.extend(cls._unknown(raw))
            given = {key: value for key, value in given.items() if key in cls.known}
        return gather(cls.__name__, found, lambda: handler(given)).normalised()

    def normalised(self) -> Self:
        """The same object in its one canonical form; kinds with a deprecated spelling override this."""
        return self

    @classmethod
    def _unknown(cls, raw: dict[Any, Any]) -> Iterator[InitErrorDetails]:
        for key in raw:
            if key not in cls.known:
                hint = did_you_mean(str(key), cls.known) or ": remove it"
                yield finding((str(key),), Reason.UNKNOWN_FIELD, f"`{shorten(str(key))}` is not a field here{hint}")

    @classmethod
    def _breaches(cls, given: dict[str, Any]) -> Iterator[InitErrorDetails]:
        for law in cls.laws:
            for place in law.broken(given):
                yield finding(place, law.reason, law.message)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core_schema))
        validations = [{"rule": law.cel, "message": law.message.replace("`", "")} for law in cls.laws if law.cel]
        if validations:
            schema["x-kubernetes-validations"] = validations
        return schema


class Open(Model):
    """An object whose owner may add fields: what we do not know survives a round trip."""

    model_config = ConfigDict(extra="allow")

    def to_dict(self) -> dict[str, Any]:
        """The object as it was written, unknown fields included, nulls of known fields left out."""
        return self.model_dump(by_alias=True, exclude_unset=True, mode="json")


class Tolerant(Model):
    """An object of which we read a part: the rest is neither judged nor kept."""

    model_config = ConfigDict(extra="ignore")
