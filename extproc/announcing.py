"""What the checks say, told to gRPC's health service: for probes, for a gateway, and for who wrote the manifests.

In: whether the process is ready, and the version of the manifests that it decides by. Runs until it is cancelled.
"""

import asyncio
from collections.abc import Callable
from typing import NoReturn

from daemon.health import Checks
from extproc.edge.grpcio_server import HealthServer

LOOK_EVERY = 0.05


async def announce(bind: str, checks: Checks, version: Callable[[], str]) -> NoReturn:
    """Raises OSError where it cannot listen."""
    server = HealthServer(bind=bind)
    await server.start()
    try:
        while True:
            await server.ready(ready=not any(finding.reason for finding in checks.findings()))
            await server.decides_by(version())
            await asyncio.sleep(LOOK_EVERY)
    finally:
        await server.stop()
