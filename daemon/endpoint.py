"""HOST:PORT of somebody who is to be asked: a name, an IPv4 address, or an IPv6 address in brackets. Where we listen is read elsewhere."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

LAST_PORT = 65535
COLLECTOR_REMEDY = "must be http://HOST:PORT or https://HOST:PORT, such as `http://collector.observability.svc:4317`"
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
    labels = text.split(".")
    if len(text) > LONGEST or not all(LABEL.fullmatch(label) for label in labels) or (labels[-1].isdigit() and not is_address(text)):
        raise ValueError(REMEDY)
    return text


def is_address(host: str) -> bool:
    """And no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def endpoint(text: str) -> str:
    return judged(text, text, REMEDY)


def collector(text: str) -> str:
    scheme, mark, place = text.partition("://")
    return judged(text, place if mark and scheme in ("http", "https") else "", COLLECTOR_REMEDY)


def judged(text: str, place: str, remedy: str) -> str:
    try:
        if text:
            Endpoint.parse(place)
    except ValueError:
        raise PydanticCustomError("groyne_endpoint", "{text}", {"text": remedy}) from None
    return text


OptionalEndpoint = Annotated[str, AfterValidator(endpoint)]
"""A setting: as it was written, or empty."""
OptionalCollector = Annotated[str, AfterValidator(collector)]
"""The same after `http://` or `https://`."""
