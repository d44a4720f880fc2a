"""Keeps the certificate, key and trust bundle of one edge: those in force, exchanged as a whole, and never for something worse.

In: `TlsFiles`. Out: `current`, which every handshake asks for; whether the edge may call itself ready; metrics. The files are read again
when something in their directories changes, every minute besides, and a while after each failure. Whatever cannot be used leaves what
is in force as it is, and is said once in the log and by a metric for as long as it lasts:

* files that are missing, half written, or no pair;
* a certificate that is not yet or no longer valid while the one in force is;
* a certificate for somebody else than at the start: who we are does not change while we run.

At the start there is nothing to fall back on: files that cannot be used are the operator's mistake and are raised. A certificate out of its
time is none: it is kept, the edge is not ready, and the clock or whoever renews it may mend that.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from datetime import datetime
from typing import Self

from mtls.files import WAIT, ConfigurationError, TlsFiles, wait_for
from mtls.identity import IdentityError, Purpose
from mtls.material import Material, MaterialError, look, read
from mtls.metrics import TlsMetrics
from mtls.watch import moments

SETTLE = 0.2
"""Who writes one file is about to write the others."""
REREAD = 60.0
FIRST_RETRY = 1.0
LAST_RETRY = 30.0
DOUBLED = 5

log = logging.getLogger(__name__)

Clock = Callable[[], datetime]
Moments = Callable[[], AsyncGenerator[None, None]]


class Keeper:
    def __init__(
        self, files: TlsFiles, *, now: Clock, metrics: TlsMetrics, purposes: Iterable[Purpose] = (), told: Moments | None = None
    ) -> None:
        """Reads the files, so it may raise MaterialError. `purposes`: what the own certificate must be made for."""
        self.files = files
        self.now = now
        self._metrics = metrics
        self._purposes = tuple(purposes)
        self._told = told or (lambda: moments(files.directories))
        self._seen = look(files)
        self._current = read(files, self._purposes)
        self._watchers: list[Callable[[Material], None]] = []
        self._trouble = ""
        self._failures = 0
        self._due = 0.0
        metrics.edge(files.edge, self.certificate_left, self.authorities_left if files.authorities else None)

    @classmethod
    async def open(cls, files: TlsFiles, *, now: Clock, metrics: TlsMetrics, purposes: Iterable[Purpose] = (), wait: float = WAIT) -> Self:
        """Waits for files that do not exist yet. Raises MissingFilesError, MaterialError or OSError."""
        await wait_for(files, timeout=wait)
        return await asyncio.to_thread(cls, files, now=now, metrics=metrics, purposes=purposes)

    @property
    def current(self) -> Material:
        """From any thread; no disk is touched."""
        return self._current

    def on_exchange(self, call: Callable[[Material], None]) -> None:
        """For servers that must be given new material; `current` is enough for all who ask at each handshake."""
        self._watchers.append(call)

    def refused(self, error: IdentityError) -> None:
        """A peer was turned away."""
        self._metrics.refused(self.files.edge, error.reason)
        log.warning("a TLS peer was refused", extra={"edge": self.files.edge, "reason": error.reason.value, "why": str(error)})

    def certificate_left(self) -> float:
        return (self._current.ends - self.now()).total_seconds()

    def authorities_left(self) -> float:
        end = self._current.authorities_end
        return (end - self.now()).total_seconds() if end else 0.0

    def not_ready(self) -> str | None:
        """Why the edge can serve nobody; None while it can."""
        now, held = self.now(), self._current
        if now < held.begins:
            return f"the certificate for {self.files.edge} begins on {held.begins:%Y-%m-%dT%H:%M:%SZ}"
        if now >= held.ends:
            return f"the certificate for {self.files.edge} ended on {held.ends:%Y-%m-%dT%H:%M:%SZ}"
        if held.authorities_end and now >= held.authorities_end:
            return f"the last authority for {self.files.edge} ended on {held.authorities_end:%Y-%m-%dT%H:%M:%SZ}"
        return None

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        self._due = loop.time() + REREAD
        async with aclosing(self._told()) as told:
            async for _ in told:
                if look(self.files) != self._seen:
                    await asyncio.sleep(SETTLE)
                    await self.reload()
                elif loop.time() >= self._due:
                    await self.reload()

    async def reload(self) -> None:
        loop = asyncio.get_running_loop()
        self._seen = look(self.files)
        try:
            self._take(await asyncio.to_thread(read, self.files, self._purposes))
        except MaterialError as error:
            self._due = loop.time() + min(LAST_RETRY, FIRST_RETRY * 2 ** min(self._failures, DOUBLED))
            self._failures += 1
            self._keep(str(error))
        else:
            self._due = loop.time() + REREAD
            self._failures = 0
            self._well()

    def _take(self, found: Material) -> None:
        if found.version == self._current.version:
            return
        self._weigh(found)
        self._current = found
        self._metrics.exchanged(self.files.edge)
        log.info(
            "certificates were exchanged",
            extra={"edge": self.files.edge, "file": str(self.files.certificate), "ends": f"{found.ends:%Y-%m-%dT%H:%M:%SZ}"},
        )
        for call in self._watchers:
            call(found)

    def _weigh(self, found: Material) -> None:
        now, held = self.now(), self._current
        where = f"TLS for {self.files.edge}: {self.files.certificate}"
        if found.identity != held.identity:
            raise MaterialError(f"{where} is for {found.identity or 'nobody'}, and at the start it was for {held.identity or 'nobody'}")
        if held.valid(now) and not found.valid(now):
            raise MaterialError(f"{where} is valid from {found.begins:%Y-%m-%dT%H:%M:%SZ} to {found.ends:%Y-%m-%dT%H:%M:%SZ}, not now")
        if found.authorities_end and now >= found.authorities_end and held.authorities_end and now < held.authorities_end:
            raise MaterialError(f"TLS for {self.files.edge}: all authorities in {self.files.authorities} have ended")

    def _keep(self, why: str) -> None:
        self._metrics.failing(self.files.edge, failing=True)
        if why != self._trouble:
            log.warning("certificates cannot be used: those read before stay in force", extra={"edge": self.files.edge, "why": why})
        self._trouble = why

    def _well(self) -> None:
        self._metrics.failing(self.files.edge, failing=False)
        if self._trouble:
            log.info("certificates can be used again", extra={"edge": self.files.edge})
        self._trouble = ""


def require_authorities(keeper: Keeper) -> None:
    if keeper.files.authorities is None:
        raise ConfigurationError(f"TLS for {keeper.files.edge}: peers are to be verified, and there is no trust bundle to verify them with")
