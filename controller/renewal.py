"""When a template's certificates are due, read from the files of its Secrets. The rules are `compile.material`'s: a leaf and a CA's
successor thirty days before the end, the change to the successor fifteen days before it. What its sidecars show to ext-proc is due as
`compile.workload_certificates` says.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Literal

from controller.compile.material import CA, NEXT, SWITCH_BEFORE
from controller.compile.redacted import Redacted
from controller.compile.workload_certificates import due as client_due
from controller.compile.workload_secrets import CLIENT
from dataplane.certificates import RENEW_BEFORE, ends_at

CLIENT_FILE = f"{CLIENT}.crt"

CertificateKind = Literal["ca", "leaf", "client"]


def ends(data: Mapping[str, Redacted]) -> dict[CertificateKind, datetime]:
    """The end of the CA that signs, of the leaf that ends first, and of what ext-proc is shown."""
    found: dict[CertificateKind, datetime] = {}
    if f"{CA}.crt" in data:
        found["ca"] = ends_at(text(data, f"{CA}.crt"))
    if CLIENT_FILE in data:
        found["client"] = ends_at(text(data, CLIENT_FILE))
    leafs = list(leaf_ends(data))
    return {**found, "leaf": min(leafs)} if leafs else found


def due(data: Mapping[str, Redacted], authority: Mapping[str, Redacted]) -> datetime | None:
    """None where there is nothing to renew. `authority` is what the CA's own Secret holds: nothing where the CA is the user's."""
    of_client = [client_due(text(data, CLIENT_FILE))] if CLIENT_FILE in data else []
    return min((*of_interception(data, authority), *of_client), default=None)


def of_interception(data: Mapping[str, Redacted], authority: Mapping[str, Redacted]) -> list[datetime]:
    when = ends(data)
    if "ca" not in when:
        return []
    switch = SWITCH_BEFORE if f"{NEXT}.crt" in authority else RENEW_BEFORE
    of_ca = [when["ca"] - switch] if authority else []
    of_leafs = [end - (RENEW_BEFORE if end < when["ca"] else timedelta()) for end in leaf_ends(data)]
    return [*of_ca, *of_leafs]


def leaf_ends(data: Mapping[str, Redacted]) -> Iterator[datetime]:
    return (ends_at(text(data, name)) for name in data if name.startswith("leaf-") and name.endswith(".crt"))


def text(data: Mapping[str, Redacted], name: str) -> str:
    return data[name].reveal().decode()
