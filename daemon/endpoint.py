"""HOST:PORT, read and judged in one place: a name, an IPv4 address, or an IPv6 address in brackets."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

LAST_PORT = 65535
REMEDY = "must be HOST:PORT, such as `groyne-ext-proc.groyne-system.svc:9002` or `[fd00::9]:9002`"
FORM = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[-A-Za-z0-9.]+):(?P<port>[1-9][0-9]{0,4})")
LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?")
LONGEST = 253


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`host` without brackets; an IPv6 address in its shortest form."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """Raises ValueError."""
        found = FORM.fullmatch(text)
        if not found or int(found["port"]) > LAST_PORT:
            raise ValueError(REMEDY)
        return cls(host_of(found["host"]), int(found["port"]))


def host_of(text: str) -> str:
    if text.startswith("["):
        try:
            return str(IPv6Address(text[1:-1]))
        except ValueError:
            raise ValueError(REMEDY) from None
    if len(text) > LONGEST or not all(LABEL.fullmatch(label) for label in text.split(".")):
        raise ValueError(REMEDY)
    return text


def judged(text: Any) -> Any:
    if text:
        try:
            Endpoint.parse(text)
        except ValueError as error:
            raise PydanticCustomError("groyne_endpoint", "{text}", {"text": str(error)}) from None
    return text


OptionalEndpoint = Annotated[str, AfterValidator(judged)]
"""A setting: as it was written, or empty."""
