"""Watches of the server in memory: what has changed since a version, then what changes, bookmarks, an end after a while.

A test breaks one by `cut` (connection lost), `end` (as the server ends it), `say` (any bytes as a line), `mute` (half open: nothing
comes any more, not even an end).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from kube.errors import TimedOut, Unavailable
from kube.objects import Raw, Resource
from unit_tests.kube.fake_selectors import Selection
from unit_tests.kube.fake_storage import Change, Storage

BOOKMARK_EVERY = 60.0


class FakeStream:
    """An error answer: a status, and what is said with it. Otherwise see `FakeWatch`."""

    def __init__(self, status: int = 200, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        self.status = status
        self.headers: Mapping[str, str] = headers or {}
        self.body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        return
        yield b""


class FakeWatch(FakeStream):
    def __init__(
        self, storage: Storage, resource: Resource, selection: Selection, params: Mapping[str, str], shown: Any, silence: float
    ) -> None:
        super().__init__()
        self.resource = resource
        self.muted = False
        self._storage = storage
        self._selection = selection
        self._show = shown
        self._silence = silence
        self._lines: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self._ends = asyncio.get_running_loop().time() + float(params.get("timeoutSeconds", 1800))
        self._bookmarks = params.get("allowWatchBookmarks") == "true"
        self._begin(int(params.get("resourceVersion") or storage.version))

    def cut(self) -> None:
        self._put(Unavailable("reading a stream: ReadError"))

    def end(self) -> None:
        self._put(None)

    def say(self, line: bytes) -> None:
        self._put(line)

    def event(self, kind: str, raw: Raw) -> None:
        self.say(json.dumps({"type": kind, "object": raw}).encode())

    def mute(self) -> None:
        self.muted = True

    def heard(self, change: Change) -> None:
        """An object that comes into the selection is added, one that leaves it is deleted, at the change's version."""
        if change.resource != self.resource:
            return
        was, now = (raw is not None and self._selection.holds(raw) for raw in (change.before, change.after))
        if now:
            self.event("MODIFIED" if was else "ADDED", self._show(change.after))
        elif was and change.before:
            last = self._show(change.before)
            self.event("DELETED", {**last, "metadata": {**last["metadata"], "resourceVersion": str(change.version)}})

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (line := await self._next()) is not None:
            yield line

    def close(self) -> None:
        self._storage.listeners.discard(self.heard)

    def _begin(self, version: int) -> None:
        if version < self._storage.oldest:
            gone = {
                "kind": "Status",
                "status": "Failure",
                "reason": "Expired",
                "code": 410,
                "message": f"too old resource version: {version}",
            }
            self.event("ERROR", gone)
            self.end()
        for change in self._storage.changes:
            if change.version > version:
                self.heard(change)
        self._storage.listeners.add(self.heard)

    def _put(self, line: bytes | Exception | None) -> None:
        if not self.muted:
            self._lines.put_nowait(line)

    async def _next(self) -> bytes | None:
        now = asyncio.get_running_loop().time()
        wait = self._silence if self.muted else min(BOOKMARK_EVERY if self._bookmarks else self._silence, self._ends - now, self._silence)
        try:
            async with asyncio.timeout(max(wait, 0)):
                line = await self._lines.get()
        except TimeoutError:
            return self._idle(wait)
        if isinstance(line, Exception):
            raise line
        return line

    def _idle(self, waited: float) -> bytes | None:
        if not self.muted and asyncio.get_running_loop().time() >= self._ends - 0.01:
            return None
        if self.muted or waited >= self._silence:
            raise TimedOut(f"nothing came for {self._silence:g} s")
        head = {"resourceVersion": str(self._storage.version)}
        mark = {"apiVersion": self.resource.api_version, "kind": self.resource.kind, "metadata": head}
        return json.dumps({"type": "BOOKMARK", "object": mark}).encode()
