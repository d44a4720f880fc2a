"""Kinds of values that only the controller's settings have: one SPIFFE id, and what an operator says of Envoy's ext_proc filter.

In: what a flag, a variable or a file holds. Out: values that were judged, so that a mistake ends the process where it begins.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from dataplane.external_settings import read_settings
from mtls.spiffe import SpiffeId


def spiffe_id(text: str) -> str:
    """One id in its one form, or nothing."""
    if not text:
        return ""
    try:
        return str(SpiffeId.parse(text.strip()))
    except ValueError as error:
        raise PydanticCustomError("groyne_id", "{why}", {"why": f"must be one SPIFFE id: {error}"}) from None


def pairs(value: Any) -> Any:
    """A mapping where the source knows mappings, else `NAME=VALUE;NAME=VALUE`."""
    if isinstance(value, Mapping):
        return tuple((str(name), text_of(each)) for name, each in value.items())
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(";") if part.strip()]
    if wrong := [part for part in parts if "=" not in part]:
        raise PydanticCustomError("groyne_pairs", "{why}", {"why": f"`{wrong[0]}` has no `=`: write NAME=VALUE;NAME=VALUE"})
    return tuple((name.strip(), text.strip()) for name, _, text in (part.partition("=") for part in parts))


def text_of(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def judged(value: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    problems = read_settings(dict(value))[1]
    if problems:
        why = "; ".join(f"{problem.field}: {problem.message}" for problem in problems)
        raise PydanticCustomError("groyne_filter", "{why}", {"why": why})
    return value


Id = Annotated[str, AfterValidator(spiffe_id)]
Pairs = Annotated[tuple[tuple[str, str], ...], NoDecode, BeforeValidator(pairs), AfterValidator(judged)]
