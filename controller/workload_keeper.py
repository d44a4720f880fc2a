"""Keeps the two Secrets of the controller's own namespace by which ext-proc and sidecars trust each other, and says which authorities hold.

The one who leads looks once a minute, and when something is due. An authority is never replaced because it could not be read: what is
read is the API server's own word, and only its 404 means that there is none. It is written before anything that it signed is. A Secret
of that name that is not ours, or that has an owner as those of templates have, stays as it is; then nothing is signed, and an Event
says so.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from controller.compile.ownership import ours
from controller.compile.workload_authorities import Authorities, authorities
from controller.compile.workload_secrets import AUTHORITY, SERVER, authority_secret, server_due, server_secret
from controller.pace import TooSoon
from controller.renewal import CertificateKind
from controller.secret_writer import SecretWriter, decoded
from controller.settings import Settings
from crds.problem import Problem
from dataplane.certificates import ends_at
from kube.errors import ApiError
from kube.objects import Key, Raw
from kube.reconcile import Result

log = logging.getLogger(__name__)

LOOK = 60.0
"""Seconds after which somebody who has deleted or changed one of them is undone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where ext-proc is, and who it is."""

    namespace: str
    trust_domain: str
    identity: str

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(namespace=settings.pod_namespace, trust_domain=settings.trust_domain, identity=settings.ext_proc_identity)


@dataclass(slots=True, kw_only=True)
class WorkloadKeeper:
    """`changed` hears when `authorities` have; `expiring` of the ends of the certificates."""

    place: Place
    writer: SecretWriter
    announce: Callable[[Raw, Problem], None]
    changed: Callable[[], None]
    expiring: Callable[[Mapping[CertificateKind, datetime]], None]
    now: Callable[[], datetime]
    authorities: Authorities | None = field(default=None, repr=False)
    complete: bool = False

    async def first_look(self) -> None:
        """Before any template, so that one that needs ext-proc is written once. What fails keeps nobody waiting and is tried again."""
        try:
            await self(None)
        except ApiError as error:
            log.warning("ext-proc's certificates are not there yet: %s", error)

    async def __call__(self, _key: object) -> Result:
        """Raises ApiError."""
        self.complete = False
        try:
            due = await self._bring(self.now())
        except TooSoon as early:
            return Result(requeue_after=early.seconds, tried=False)
        self.complete = due is not None
        seconds = (due - self.now()).total_seconds() if due else LOOK
        return Result(requeue_after=min(max(seconds, 1.0), LOOK))

    async def _bring(self, now: datetime) -> datetime | None:
        """When the next step is due; None where somebody else's Secret is in the way."""
        found = await self._authorities(now)
        if found is None:
            return None
        if found != self.authorities:
            self.authorities = found
            self.changed()
        live = await self.writer.read(self._key(SERVER))
        if self._foreign(live):
            return None
        wanted = server_secret(found, self.place.namespace, self.place.identity, decoded(live), now=now)
        await self.writer.bring(self._key(SERVER), wanted, live, now=now)
        self.expiring({"ca": ends_at(found.signing.cert_pem), "leaf": ends_at(wanted.data["tls.crt"].reveal().decode())})
        return min(found.due, server_due(wanted))

    async def _authorities(self, now: datetime) -> Authorities | None:
        key = self._key(AUTHORITY)
        live = await self.writer.read(key)
        if self._foreign(live):
            return None
        found = authorities(decoded(live), self.place.trust_domain, now=now)
        await self.writer.bring(key, authority_secret(found, self.place.namespace), live, now=now)
        return found

    def _key(self, name: str) -> Key:
        return Key(self.place.namespace, name)

    def _foreign(self, live: Raw | None) -> bool:
        if live is None or (ours(live) and not owners(live)):
            return False
        self.announce({"kind": "Secret", "apiVersion": "v1", **live}, in_the_way(live))
        return True


def in_the_way(live: Raw) -> Problem:
    name = live["metadata"]["name"]
    whose = ", ".join(f"belongs to {owner.get('kind')} {owner.get('name')}" for owner in owners(live)) or "was not made by Groyne"
    remedy = "delete it with its owner" if owners(live) else "delete it"
    other = "run the controller with --ext-proc-certificates=files"
    return Problem(reason="OwnershipConflict", message=f"Secret {name} {whose} and is left as it is: {remedy}, or {other}")


def owners(live: Raw) -> list[Raw]:
    """Ours have none: a SandboxTemplate called groyne-ext-proc has a CA of the authority's name, with our label."""
    return list(live["metadata"].get("ownerReferences") or [])
