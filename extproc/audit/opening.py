"""The dispatcher with its carrier, as a process opens it: the one place here that says which certificates and whose chance."""

import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from extproc.audit.courier import Courier, HttpCarrier
from extproc.audit.dispatch import Dispatcher
from extproc.audit.metrics import AuditObserver


@asynccontextmanager
async def open_dispatcher(
    observer: AuditObserver, *, capacity: int, loopback: bool = False, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Dispatcher]:
    """Without `tls`, receivers are believed by the system's roots. `run` is the caller's to start, and `drain` to call."""
    async with HttpCarrier(tls=tls or ssl.create_default_context(), loopback=loopback) as carrier:
        courier = Courier(carrier, chance=random.SystemRandom().random, retried=observer.retried)
        yield Dispatcher(courier, observer, capacity=capacity, loopback=loopback)
