"""What settings of any process are made of: a prefix, words for mistakes, kinds of values, and where values come from.

A process's own model is a `Model`; its fields' descriptions are the help and the reference. This module judges values alone.
Where they come from (flags, environment, file) is `settings_sources`' business, so that a `Settings(...)` written down in code
or in a test depends on nothing around it.
"""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "GROYNE_"
TOGETHER = "groyne_together"
"""The type of an error that is about several fields; its context holds `fields` and `text`."""

NAME = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)$"
SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
LABEL = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?=([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
REMEDIES = {
    NAME: "must be a name: lower-case letters, digits and `-`, with a letter or digit first and last",
    f"^$|{NAME}": "must be the name of one namespace, or empty for all of them",
    SUBDOMAIN: "must be a name: lower-case letters, digits, `-` and `.`, with a letter or digit first and last",
    LABEL: "must be a label as `key=value`, such as `groyne.dev/secrets=managed`",
}


class MistakeError(ValueError):
    """An operator's mistake, with which there is nothing to start. `lines` name the place, the field and the remedy."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def path_or_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def entries(value: Any) -> Any:
    """A list where the source knows lists, else one text with commas."""
    return [text.strip() for text in value.split(",") if text.strip()] if isinstance(value, str) else value


def address_range(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        ip_network(value.strip(), strict=False)
    except ValueError:
        raise PydanticCustomError(
            "groyne_range", "`{text}` is no address range: write one such as `10.96.0.0/12`", {"text": value}
        ) from None
    return value.strip()


OptionalPath = Annotated[Path | None, BeforeValidator(path_or_none)]
Ranges = Annotated[tuple[Annotated[str, BeforeValidator(address_range)], ...], NoDecode, BeforeValidator(entries)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=1, le=65535)]


def of(what: str, *, default: str = "") -> dict[str, Any]:
    """How a value is written, for the help and the reference, and its default where that is no constant."""
    return {"value": what, **({"default": default} if default else {})}


class Model(BaseSettings):
    """Frozen: what was decided at the start holds until the end. Every process has `config`, the file, a cluster and a log."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    config: OptionalPath = Field(
        None,
        description="A YAML file of settings. Its keys are the flags' names without the leading dashes; flags and environment win over it.",
        json_schema_extra=of("FILE"),
    )
    kubeconfig: OptionalPath = Field(
        None,
        description="How to reach the API server. Without one: as kubectl would, or, in a pod, by its service account.",
        json_schema_extra=of("FILE"),
    )
    context: str = Field(
        "",
        description="The kubeconfig's context. Without one: the one that is current there.",
        json_schema_extra=of("NAME"),
        max_length=253,
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least severe that is written.")
    log_format: Literal["json", "text"] = Field(
        "json", description="On standard error: one JSON object a line, for machines, or text, in colour on a terminal, for people."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    def in_order(self, shorter: str, longer: str, why: str) -> None:
        if getattr(self, shorter) >= getattr(self, longer):
            raise together(shorter, longer, f"{kebab(shorter)} must be shorter than {kebab(longer)}: {why}")


def together(one: str, other: str, text: str) -> PydanticCustomError:
    return PydanticCustomError(TOGETHER, "{text}", {"fields": [one, other], "text": text})


def kebab(field: str) -> str:
    return field.replace("_", "-")


def variable(field: str) -> str:
    return PREFIX + field.upper()
