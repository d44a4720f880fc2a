"""Whether the server says what is, or what was: one that lags behind, or whose store was restored, knows less than was seen before.

In go versions as they come, and what was seen; out comes whether a list may be believed. Two signs in a row make it so: a list alone
that is older is asked for again, for it may come from a server that will catch up, and what it does not know must not be taken for gone.
A watch that begins in a server's future would never say a word: so after a time in which a store can have been restored a look is cheap,
and a watch is not.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

from kube.client import Page
from kube.errors import Unavailable
from kube.objects import Resource

T = TypeVar("T")
BELIEVED = 2
RESTORED_IN = 2.0
"""Seconds. No API server ends, has its store put back and starts in less."""

log = logging.getLogger(__name__)


class Age:
    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._signs = 0
        self._lost_at: float | None = None

    @property
    def uncertain(self) -> bool:
        """The last watch broke so long ago that the server may be another by now."""
        return self._lost_at is not None and asyncio.get_running_loop().time() >= self._lost_at + RESTORED_IN

    def doubt(self) -> None:
        """Something else than a list said that the server is older than what was seen."""
        self._signs += 1

    def believe(self, version: str, seen: str) -> None:
        """Raises Unavailable for a list that is to be asked for again."""
        self._lost_at = None
        if not older(version, seen):
            self._signs = 0
            return
        self.doubt()
        if self._signs < BELIEVED:
            raise Unavailable(f"list {self._resource}: older than what was seen before")
        log.warning("%s: the server is older than what was seen before: it is believed", self._resource)
        self._signs = 0

    async def look(self, ask: Callable[[], Awaitable[Page]], seen: str) -> bool:
        """Whether the server is as old as it was, or older."""
        page = await ask()
        self._lost_at = None
        if older(page.resource_version, seen):
            self.doubt()
            return False
        return True

    @asynccontextmanager
    async def reached(self, opening: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
        try:
            async with opening as found:
                self._lost_at = None
                yield found
        except Unavailable:
            if self._lost_at is None:
                self._lost_at = asyncio.get_running_loop().time()
            raise


def older(version: str, than: str) -> bool:
    """Versions that are no numbers have no order."""
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)
