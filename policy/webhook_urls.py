"""Where a webhook may be: an absolute http or https URL, and never an address behind which a machine keeps its own secrets.

Private addresses are fine, since most receivers run in the cluster. Link-local ones are not, nor are the metadata services of
clouds, nor the loopback of whoever sends (Envoy's administration listens there) unless its operator allows it. A URL is
judged as it stands; the addresses that its name leads to are judged again by whoever connects.
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote

from policy.authority import embedded_ipv4, parse_authority, without_dot
from policy.go_templates import outline
from policy.program import GoTemplate
from policy.variables import EVENT

LONGEST = 4096

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?]*)(?P<target>(?:[/?].*)?)\Z", re.DOTALL)
_TARGET = re.compile(r"(?:%[0-9A-Fa-f]{2}|[!$&-;=?@A-Z\[\]_a-z~])*\Z")
_AUTHORITY_ENDS = re.compile(r"(?:https?|\0):(?://)[^/?]*[/?]|\0+(?!:?//)[^/?\0]*[/?]")
_METADATA = frozenset({"100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"})
"""Alibaba Cloud, Azure, Oracle Cloud, AWS, Google Cloud; the others' are link-local."""
_NAMES = frozenset({"metadata", "metadata.google.internal", "instance-data"})
DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """`host` is canonical, an IPv6 address without brackets; `target` starts with `/`."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def parse_url(text: str, *, loopback: bool = False, escape: bool = False) -> Url | str:
    """What comes back as text is what is wrong with it; it quotes nothing. With `escape`, path and query are made fit."""
    found = _URL.match(text)
    scheme = found["scheme"].lower() if found else ""
    if len(text) > LONGEST or found is None or scheme not in DEFAULT_PORTS:
        return "it is no absolute http or https URL"
    if "@" in found["authority"]:
        return "it holds a user's name or password: give it in a header"
    host = parse_authority(without_dot(found["authority"]))
    if host is None:
        return "it names no host"
    target = _escaped(found["target"]) if escape else found["target"]
    if not _TARGET.match(target):
        return "its path or query holds what must be escaped, or a fragment"
    if host[0] in _NAMES or forbidden_address(host[0], loopback=loopback):
        return "it leads to an address that no webhook may have"
    return Url(scheme=scheme, host=host[0], port=host[1] or DEFAULT_PORTS[scheme], target=target if target[:1] == "/" else f"/{target}")


def _escaped(target: str) -> str:
    return quote(re.sub("%(?![0-9A-Fa-f]{2})", "%25", target), safe="!$&'()*+,-./:;=?@_~[]%")


def forbidden_address(text: str, *, loopback: bool = False) -> bool:
    """False for what is no address; a name is judged by where it leads."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text == "localhost" or text.endswith(".localhost") if not loopback else False
    inner = embedded_ipv4(str(address))
    if inner and forbidden_address(inner, loopback=loopback):
        return True
    if address.is_loopback:
        return not loopback
    return (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or str(address) in _METADATA
        or str(address) == "255.255.255.255"
    )


def template_problem(template: GoTemplate, *, loopback: bool = False) -> str | None:
    """What is wrong with every URL that the template can give, as far as that is known beforehand."""
    pieces = outline(template, EVENT)
    if not any(roots for text, roots in pieces) and all(text for text, _ in pieces):
        found = parse_url("".join(text for text, _ in pieces), loopback=loopback)
        return found if isinstance(found, str) else None
    known = ""
    for text, roots in pieces:
        known += text or "\0"
        if _AUTHORITY_ENDS.match(known):
            return None
        if "request" in roots:
            return "whoever sends the request would choose the host: let `.Request` stand behind the host's `/` only"
    return None
