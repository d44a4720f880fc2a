"""Where sidecars find ext-proc, who it is, and how Envoy treats it: from the settings to what `dataplane` writes into a template's files.

A sandbox's resolver knows no names of the cluster, so it is the controller that looks the name up, at the start and from time to time; what
does not resolve any more keeps its last address. Without an address nothing is written at all: what was written before is no worse.
The sidecar's certificate for ext-proc lies in files of its pod: among those of its template's Secret where the controller signs it, else at
one fixed place, and who puts them there is not known here.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from controller.compile.workload_secrets import CLIENT, CLIENT_AUTHORITIES
from controller.settings import Settings
from crds.problem import Problem
from daemon.endpoint import Endpoint, is_address
from dataplane.external import ClientTls, External
from dataplane.redirect import Families
from dataplane.sidecar import DIRECTORY
from policy.actions import NATIVE_ONLY
from policy.program import Engine, Profile
from policy.reasons import Reason

CERTIFICATES = "/etc/groyne/ext-proc"
"""In the sidecar: tls.crt, tls.key, ca.crt."""
LOOK_EVERY, AGAIN_AFTER = 30.0, 1.0

Resolve = Callable[[str], Awaitable[Sequence[str]]]

log = logging.getLogger(__name__)


def engines(settings: Settings) -> frozenset[Engine]:
    """Those that carry out what a profile says."""
    return frozenset(Engine) if settings.ext_proc_address else NATIVE_ONLY


def tokenless(profile: Profile) -> tuple[Problem, ...]:
    """A provider is asked with the sandbox's token, and a sidecar's certificate names a template and holds none."""
    message = (
        "in a sidecar this credential never comes, for it has no sandbox token to ask the provider with: the failStrategy decides every"
        " request. A gateway that sets `sandbox.token` has one"
    )
    return tuple(
        Problem(reason=Reason.NO_SANDBOX_TOKEN.value, message=message, field=f"spec.rules[{rule.index}].actions", fatal=False)
        for rule in profile.rules
        if rule.issued
    )


async def resolve(name: str) -> Sequence[str]:
    """Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return sorted({str(each[4][0]) for each in found})


@dataclass(slots=True, kw_only=True)
class ExtProcPlace:
    """`changed` hears when the addresses have."""

    settings: Settings
    changed: Callable[[], None]
    resolve: Resolve = resolve
    addresses: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if is_address(self.host):
            self.addresses = (self.host,)

    @property
    def host(self) -> str:
        """Empty where there is none."""
        address = self.settings.ext_proc_address
        return Endpoint.parse(address).host if address else ""

    @property
    def port(self) -> int:
        return Endpoint.parse(self.settings.ext_proc_address).port

    @property
    def lacking(self) -> str | None:
        """Why nothing can be written yet, or None."""
        return f"ext-proc-address: `{self.host}` has no address yet" if self.host and not self.addresses else None

    async def run(self) -> None:
        """Returns where there is nothing to look up."""
        while self.host and not is_address(self.host):
            await self.look()
            await asyncio.sleep(LOOK_EVERY if self.addresses else AGAIN_AFTER)

    async def look(self) -> None:
        try:
            found = tuple(await self.resolve(self.host))
        except OSError as error:
            log.warning("ext-proc's name does not resolve: %s", type(error).__name__, extra={"host": self.host})
            return
        if found and found != self.addresses:
            self.addresses = found
            self.changed()

    def external(self, families: Families) -> External | None:
        """None where there is no ext-proc."""
        address = self._address(families)
        if address is None:
            return None
        place = {"socket_address": {"address": address, "port_value": self.port}}
        return External(address=place, tls=self._tls(), settings=self.settings.ext_proc_settings)

    def _tls(self) -> ClientTls:
        if not self.settings.issues:
            return ClientTls(server_id=self.settings.ext_proc_identity, directory=CERTIFICATES)
        return ClientTls(
            server_id=self.settings.ext_proc_identity,
            directory=DIRECTORY,
            certificate=f"{CLIENT}.crt",
            key=f"{CLIENT}.key",
            authorities=CLIENT_AUTHORITIES,
        )

    def _address(self, families: Families) -> str | None:
        """Of the family that all pods have, if there is one."""
        wanted = 6 if families is Families.IPV6 else 4
        ordered = sorted(self.addresses, key=lambda text: ip_address(text).version != wanted)
        return next(iter(ordered), None)
