"""A `coordination.k8s.io/v1` Lease as leader election reads and writes it. It does no I/O and knows no clock.

A record is read defensively: whoever may write Leases may have written anything. What is written is what client-go writes, so that
its tools show it; times in it are for people, nobody here computes with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any

from kube.moments import micro_time
from kube.objects import Key, Raw, Resource

LEASES = Resource(group="coordination.k8s.io", version="v1", plural="leases", kind="Lease")
INT32 = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """`seconds` is None where the Lease does not say how long it holds."""

    holder: str
    seconds: float | None
    transitions: int
    acquired: str
    renewed: str


def record_of(raw: Mapping[str, Any]) -> Record:
    spec = raw.get("spec")
    spec = spec if isinstance(spec, dict) else {}
    seconds = _number(spec.get("leaseDurationSeconds"))
    return Record(
        holder=_text(spec.get("holderIdentity")),
        seconds=float(seconds) if seconds else None,
        transitions=_number(spec.get("leaseTransitions")) or 0,
        acquired=_text(spec.get("acquireTime")),
        renewed=_text(spec.get("renewTime")),
    )


def new_lease(lease: Key, identity: str, duration: float, now: datetime) -> Raw:
    spec = {**_held(identity, duration, now), "acquireTime": micro_time(now), "leaseTransitions": 0}
    metadata = {"name": lease.name, "namespace": lease.namespace}
    return {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}


def renewed(raw: Raw, identity: str, duration: float, now: datetime) -> Raw:
    """For whoever holds it, and for whoever takes it over."""
    before = record_of(raw)
    kept = {"acquireTime": before.acquired or micro_time(now), "leaseTransitions": before.transitions}
    taken = {"acquireTime": micro_time(now), "leaseTransitions": min(before.transitions + 1, INT32)}
    return _with_spec(raw, _held(identity, duration, now) | (kept if before.holder == identity else taken))


def released(raw: Raw, now: datetime) -> Raw:
    before = record_of(raw)
    spec = {"acquireTime": before.acquired or micro_time(now), "leaseTransitions": before.transitions}
    return _with_spec(raw, _held("", 1, now) | spec)


def _held(identity: str, duration: float, now: datetime) -> Raw:
    return {"holderIdentity": identity, "leaseDurationSeconds": max(1, ceil(duration)), "renewTime": micro_time(now)}


def _with_spec(raw: Raw, spec: Raw) -> Raw:
    before = raw.get("spec")
    return raw | {"spec": (before if isinstance(before, dict) else {}) | spec}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
