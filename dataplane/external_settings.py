"""How Envoy treats ext-proc, as an operator may set it for one deployment: values, their laws, and nothing of Envoy's text.

In: settings as a mapping of text (`messageTimeout: 5s`), from flags, environment or a file. Out: the values, or every problem.
Nobody but an operator sets them: who writes templates or profiles in a namespace could otherwise switch a Global profile off.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from crds.problem import Problem

INVALID = "InvalidExternalSetting"
STATUSES = frozenset({*range(400, 419), 421, 422, 423, 424, 426, 428, 429, 431, *range(500, 509), 510, 511})
MOST_NAMESPACES = 8
MOST_ATTRIBUTES = 32
ATTRIBUTE = re.compile(r"(?:connection|source|destination|request|response|upstream)\.[a-z0-9_]+|xds\.route_[a-z0-9_]+")
"""What an answer from outside may depend on. `xds.node`, filter state and metadata are the proxy's own."""
NAMESPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,252}")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}


class Body(StrEnum):
    """How a request's body comes, where a rule must read it."""

    NONE = "None"
    STREAMED = "Streamed"
    BUFFERED = "Buffered"
    BUFFERED_PARTIAL = "BufferedPartial"
    FULL_DUPLEX_STREAMED = "FullDuplexStreamed"


WATCHING = frozenset({Body.NONE, Body.STREAMED})
"""Modes in which Envoy holds nothing back: for shadow mode, and for nothing else."""

WHOLE = frozenset({Body.BUFFERED, Body.FULL_DUPLEX_STREAMED})
"""Modes in which the headers wait for the whole body: what is judged by its beginning may go on with the end unread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalSettings:
    """`message_timeout` in seconds. Its default leaves room for a credential that a provider issues while the headers wait."""

    message_timeout: float = 5.0
    fail_open: bool = False
    status_on_error: int = 503
    shadow_mode: bool = False
    allow_mode_override: bool = False
    body: Body = Body.BUFFERED
    renew_on_unauthorized: bool = False
    """Tell ext-proc what hosts answer to issued credentials: after a 401 it asks the provider anew."""
    attributes: tuple[str, ...] = ()
    accessible_namespaces: tuple[str, ...] = ()
    writable_namespaces: tuple[str, ...] = ()

    @property
    def decides(self) -> bool:
        """Whether a request waits for an answer, and does not pass without one."""
        return not (self.fail_open or self.shadow_mode)


def read_settings(raw: Mapping[str, Any]) -> tuple[ExternalSettings, tuple[Problem, ...]]:
    """Defaults stand wherever there is a problem; who has problems must not start."""
    known = ", ".join(READERS)
    problems = [problem(name, f"there is no such setting; there are {known}") for name in sorted(raw.keys() - READERS.keys())]
    found = ExternalSettings()
    for name, (field, read) in READERS.items():
        if name not in raw:
            continue
        try:
            found = replace(found, **{field: read(raw[name])})
        except ValueError as error:
            problems.append(problem(name, str(error)))
    return found, (*problems, *laws(found))


def laws(settings: ExternalSettings) -> tuple[Problem, ...]:
    """What single values do not say."""
    found = []
    if not 0 < settings.message_timeout <= 3600:
        found.append(problem("messageTimeout", "must be longer than nothing and at most an hour"))
    if settings.status_on_error not in STATUSES:
        found.append(problem("statusOnError", "must be a status of an error, from 400 on, that HTTP knows"))
    if settings.fail_open and settings.body is Body.FULL_DUPLEX_STREAMED:
        found.append(problem("failOpen", "what ext-proc has of a body in mode FullDuplexStreamed cannot be had back: leave failOpen off"))
    if settings.shadow_mode and settings.body not in WATCHING:
        found.append(problem("shadowMode", "nothing is waited for in shadow mode: set body to Streamed or None"))
    if not settings.shadow_mode and settings.body not in WHOLE:
        found.append(problem("body", f"with {settings.body} a body cannot be judged before it goes on: Buffered or FullDuplexStreamed"))
    found += [*attribute_laws(settings.attributes), *namespace_laws(settings)]
    return tuple(found)


def attribute_laws(attributes: Sequence[str]) -> list[Problem]:
    found = [
        problem(
            "attributes", f"{name!r} may not be asked for: connection., source., destination., request., response., upstream. or xds.route_"
        )
        for name in attributes
        if not ATTRIBUTE.fullmatch(name)
    ]
    return found + bounds("attributes", attributes, MOST_ATTRIBUTES)


def namespace_laws(settings: ExternalSettings) -> list[Problem]:
    found = [
        problem("writableNamespaces", f"{name!r} belongs to Envoy's own filters, whose word others trust: take a name of your own")
        for name in settings.writable_namespaces
        if name.lower().startswith("envoy.")
    ]
    lists = {"writableNamespaces": settings.writable_namespaces, "accessibleNamespaces": settings.accessible_namespaces}
    for field, names in lists.items():
        found += [problem(field, f"{name!r} is no name of a namespace") for name in names if not NAMESPACE.fullmatch(name)]
        found += bounds(field, names, MOST_NAMESPACES)
    return found


def bounds(field: str, items: Sequence[str], most: int) -> list[Problem]:
    found = [problem(field, f"at most {most}")] if len(items) > most else []
    return [*found, problem(field, "each once")] if len(set(items)) < len(items) else found


def problem(field: str, message: str) -> Problem:
    return Problem(reason=INVALID, field=field, message=message)


def duration(value: Any) -> float:
    """Seconds. Raises ValueError."""
    matched = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if matched is None:
        raise ValueError(f"{value!r} is no duration: write `5s` or `500ms`")
    return float(matched[1]) * _UNITS[matched[2]]


def truth(value: Any) -> bool:
    """Raises ValueError."""
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise ValueError(f"{value!r} is neither true nor false")


def status(value: Any) -> int:
    """Raises ValueError."""
    if isinstance(value, bool) or not re.fullmatch(r"[1-9][0-9]{2}", str(value)):
        raise ValueError(f"{value!r} is no status: three digits")
    return int(value)


def body(value: Any) -> Body:
    """Raises ValueError."""
    try:
        return Body(value)
    except ValueError:
        raise ValueError(f"{value!r} is none of {', '.join(Body)}") from None


def listed(value: Any) -> tuple[str, ...]:
    """A list, or one text with commas. Raises ValueError."""
    if isinstance(value, str):
        return tuple(text.strip() for text in value.split(",") if text.strip())
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise ValueError("write names with commas between them")


READERS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "messageTimeout": ("message_timeout", duration),
    "failOpen": ("fail_open", truth),
    "statusOnError": ("status_on_error", status),
    "shadowMode": ("shadow_mode", truth),
    "allowModeOverride": ("allow_mode_override", truth),
    "body": ("body", body),
    "renewOnUnauthorized": ("renew_on_unauthorized", truth),
    "attributes": ("attributes", listed),
    "accessibleNamespaces": ("accessible_namespaces", listed),
    "writableNamespaces": ("writable_namespaces", listed),
}
