"""A provider behind a memory: a question is asked once for as long as its answer is good, and never twice at a time.

In: any `Provider`; out: one that asks it as seldom as it may. What it promises:

- An answer serves only the caller and the access token that it was fetched for, and never longer than the provider said.
- Identical questions that come while one is under way wait for it. Who leaves does not take it along; a failure is everybody's.
- A failure holds for a second, so that a dead provider is not stormed. There is nothing stale: an answer that has ended is gone.
- In the last tenth of its life an answer is asked for anew in the background, at the next use, and serves until then.
- An upstream's 401 may drop an answer, but not one that is a few seconds old: a storm of them costs one question in that time.
- Without a client id, or without a caller, answers are not kept.
"""

import asyncio
import json
import logging
from dataclasses import replace
from hashlib import sha256
from typing import Protocol, Self

from extproc.providers.http import TIMEOUT
from extproc.providers.memory import Kept, Memory
from extproc.providers.seam import Failure, Provider, ProviderAnswer, ProviderError, ProviderRequest
from kube.failures import where

log = logging.getLogger(__name__)
TTL = 3 * 3600.0
MOST, EACH = 10_000, 100
"""Entries, and those of one caller: a parameter that is computed from the request makes each path a question of its own."""
SKEW = 30.0
"""An answer ends this much before the provider says so, but never loses more than a fifth of its life."""
HOLD = 1.0
SETTLE = 10.0
"""An answer younger than this is not dropped for an upstream's 401."""
EARLY = 0.1
GRACE = 1.0
"""A provider keeps its own deadline; one that does not is left this much later."""


class CacheObserver(Protocol):
    """`result`: hit, miss, shared (waits for another's question), held (a failure that still holds), refresh, dropped."""

    def looked_up(self, result: str) -> None: ...


class CachedProvider:
    """Use as `async with`: questions under way end with it, and whoever waits for them gets `closed`."""

    def __init__(
        self,
        provider: Provider,
        *,
        observer: CacheObserver,
        ttl: float = TTL,
        most: int = MOST,
        each: int = EACH,
        skew: float = SKEW,
        hold: float = HOLD,
        settle: float = SETTLE,
        timeout: float = TIMEOUT,
    ) -> None:
        self._provider = provider
        self._observer = observer
        self._ttl, self._skew, self._hold, self._settle, self._timeout = ttl, skew, hold, settle, timeout
        self._memory = Memory(most, each)
        self._flights: dict[bytes, asyncio.Future[ProviderAnswer | Failure]] = {}
        self._tasks = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        self._closed = True

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._closed = False
        return self

    async def __aexit__(self, *error: object) -> None:
        self._closed = True
        for task in self._running:
            task.cancel()
        for flight in self._flights.values():
            flight.set_result(Failure.CLOSED)
        self._flights.clear()
        await self._tasks.__aexit__(None, None, None)

    @property
    def entries(self) -> int:
        return len(self._memory)

    async def fetch(self, ask: ProviderRequest, *, deadline: float) -> ProviderAnswer:
        key, now = digest(ask), asyncio.get_running_loop().time()
        kept = self._memory.get(key, now)
        if kept is None:
            return _answer(await self._landed(key, ask, deadline))
        self._observer.looked_up("held" if isinstance(kept.said, Failure) else "hit")
        if now >= kept.refresh_at and key not in self._flights and not self._closed:
            self._observer.looked_up("refresh")
            self._take_off(key, ask)
        return _answer(kept.said)

    def invalidate(self, ask: ProviderRequest, answer: ProviderAnswer) -> bool:
        """An upstream refused `answer`, which `fetch` gave for `ask`. Whether it was dropped."""
        key, now = digest(ask), asyncio.get_running_loop().time()
        kept = self._memory.get(key, now)
        if kept is None or kept.said is not answer or now - kept.fetched_at < self._settle:
            return False
        self._memory.drop(key)
        self._observer.looked_up("dropped")
        return True

    async def _landed(self, key: bytes, ask: ProviderRequest, deadline: float) -> ProviderAnswer | Failure:
        flight = self._flights.get(key)
        self._observer.looked_up("shared" if flight else "miss")
        if self._closed:
            return Failure.CLOSED
        try:
            async with asyncio.timeout(deadline):
                return await asyncio.shield(flight or self._take_off(key, ask))
        except TimeoutError:
            return Failure.TIMEOUT

    def _take_off(self, key: bytes, ask: ProviderRequest) -> asyncio.Future[ProviderAnswer | Failure]:
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        task = self._tasks.create_task(self._fly(key, ask))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return flight

    async def _fly(self, key: bytes, ask: ProviderRequest) -> None:
        said = await self._ask(ask)
        self._remember(key, ask, said)
        if flight := self._flights.pop(key, None):  # else everything was closed, and the provider would not hear of it
            flight.set_result(said)

    async def _ask(self, ask: ProviderRequest) -> ProviderAnswer | Failure:
        try:
            async with asyncio.timeout(self._timeout + GRACE):
                return await self._provider.fetch(ask, deadline=self._timeout)
        except ProviderError as error:
            return error.reason
        except TimeoutError:
            return Failure.TIMEOUT
        except Exception as error:  # noqa: BLE001 — a provider's bug fails its question, not the process; the text may hold anything
            log.error("a credential provider failed: %s", where(error))  # noqa: TRY400 — likewise the traceback's last line
            return Failure.INTERNAL

    def _remember(self, key: bytes, ask: ProviderRequest, said: ProviderAnswer | Failure) -> None:
        now = asyncio.get_running_loop().time()
        if isinstance(said, Failure):
            self._remember_failure(key, ask.caller, said, now)
            return
        until = self._until(said, now)
        if ask.resource_id and ask.caller and until > now:
            self._memory.put(key, Kept(owner=ask.caller, said=said, fetched_at=now, refresh_at=until - EARLY * (until - now), until=until))
        else:
            self._memory.drop(key)

    def _remember_failure(self, key: bytes, caller: str, failure: Failure, now: float) -> None:
        """An answer that still serves goes on serving, and is asked for again later."""
        kept, again = self._memory.get(key, now), now + self._hold
        if kept is not None and not isinstance(kept.said, Failure):
            self._memory.put(key, replace(kept, refresh_at=again))
        elif self._hold > 0:
            self._memory.put(key, Kept(owner=caller, said=failure, fetched_at=now, refresh_at=again, until=again))

    def _until(self, answer: ProviderAnswer, now: float) -> float:
        if answer.expires_at is None:
            return now + self._ttl
        life = answer.expires_at - now
        return min(now + self._ttl, answer.expires_at - min(self._skew, life / 5))


def digest(ask: ProviderRequest) -> bytes:
    """Of everything that an answer depends on, and of who asked: JSON keeps the parts apart, whatever they hold."""
    parts = [ask.provider, ask.resource_id, ask.access_token, ask.caller, ask.keys, dict(ask.parameters)]
    try:
        text = json.dumps(parts, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        text = ""
    if not text:
        raise ProviderError(Failure.QUESTION)
    return sha256(text.encode("ascii")).digest()


def _answer(said: ProviderAnswer | Failure) -> ProviderAnswer:
    """Each waiting caller gets an error of its own: one that is raised in many places collects their tracebacks."""
    if isinstance(said, Failure):
        raise ProviderError(said)
    return said
