"""When a template's certificates are due, read from the files of its Secret. The rules are `compile.material`'s: a leaf and a CA's
successor thirty days before the end, the change to the successor fifteen days before it.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Literal

from controller.compile.material import CA, NEXT, SWITCH_BEFORE
from controller.compile.redacted import Redacted
from dataplane.certificates import RENEW_BEFORE, ends_at

CertificateKind = Literal["ca", "leaf"]


def ends(data: Mapping[str, Redacted]) -> dict[CertificateKind, datetime]:
    """The end of the CA that signs, and of the leaf that ends first."""
    found: dict[CertificateKind, datetime] = {}
    if f"{CA}.crt" in data:
        found["ca"] = ends_at(text(data, f"{CA}.crt"))
    leafs = list(leaf_ends(data))
    return {**found, "leaf": min(leafs)} if leafs else found


def due(data: Mapping[str, Redacted]) -> datetime | None:
    """None where nothing is intercepted."""
    when = ends(data)
    if "ca" not in when:
        return None
    own = f"{CA}.key" not in data
    switch = SWITCH_BEFORE if f"{NEXT}.crt" in data else RENEW_BEFORE
    of_ca = [] if own else [when["ca"] - switch]
    of_leafs = [end - (RENEW_BEFORE if end < when["ca"] else timedelta()) for end in leaf_ends(data)]
    return min((*of_ca, *of_leafs), default=None)


def leaf_ends(data: Mapping[str, Redacted]) -> Iterator[datetime]:
    return (ends_at(text(data, name)) for name in data if name.startswith("leaf-") and name.endswith(".crt"))


def text(data: Mapping[str, Redacted], name: str) -> str:
    return data[name].reveal().decode()
