"""Whether the server says what is, or what was: one that lags behind, or whose store was restored, knows less than was seen before.

In go versions as they come, and what was seen; out comes whether a list may be believed. Two signs in a row make it so: a list alone
that is older is asked for again, for it may come from a server that will catch up, and what it does not know must not be taken for gone.
A watch that begins in a server's future would never say a word: so after a time without any answer a look is cheap and a watch is not.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

from kube.client import Page
from kube.errors import ApiError, Unavailable
from kube.objects import Resource

T = TypeVar("T")
BELIEVED = 2

log = logging.getLogger(__name__)


class Age:
    """`unreached`: the last attempt found nobody."""

    def __init__(self, resource: Resource) -> None:
        self.unreached = False
        self._resource = resource
        self._signs = 0

    def doubt(self) -> None:
        """Something else than a list said that the server is older than what was seen."""
        self._signs += 1

    def believe(self, version: str, seen: str) -> None:
        """Raises Unavailable for a list that is to be asked for again."""
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
        self.unreached = False
        if older(page.resource_version, seen):
            self.doubt()
            return False
        return True

    @asynccontextmanager
    async def reached(self, opening: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
        """A refusal is an answer, too."""
        self.unreached = True
        try:
            async with opening as found:
                self.unreached = False
                yield found
        except ApiError as error:
            self.unreached = self.unreached and error.status == 0
            raise


def older(version: str, than: str) -> bool:
    """Versions that are no numbers have no order."""
    return version.isdecimal() and than.isdecimal() and int(version) < int(than)
