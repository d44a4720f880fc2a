"""Services of a process: they run side by side and end together. The one place where background tasks are started and awaited.

In go functions by name, each a service that runs until it is cancelled or has nothing left to do. While the block runs, so do
they; when it ends, they are cancelled and awaited. When one of them fails, the block and all others are cancelled, and that
first error is raised as it was; what then breaks in the others on their way out is logged, not raised.

    async with running({"informers": informers.run, "lease": election.hold}):
        await stop.wait()
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from kube.outcome import redacted

log = logging.getLogger(__name__)
Service = Callable[[], Awaitable[object]]


@dataclass(slots=True)
class First:
    error: BaseException | None = None

    async def watch(self, name: str, service: Service) -> None:
        try:
            await service()
        except Exception as error:
            self.note(name, error)
            raise

    def note(self, name: str, error: BaseException) -> None:
        if self.error is None:
            self.error = error
        else:
            log.error("%s failed while everything was ending", name, exc_info=redacted(error), extra={"service": name})

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Raises the first error where a task group would raise it among others."""
        try:
            yield
        except BaseExceptionGroup:
            if self.error is None:
                raise
            raise self.error from None


@asynccontextmanager
async def running(services: Mapping[str, Service]) -> AsyncIterator[None]:
    first = First()
    with first.alone():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(first.watch(name, service), name=name) for name, service in services.items()]
            try:
                yield
            except Exception as error:
                first.note("the block", error)
                raise
            for task in tasks:
                task.cancel()
