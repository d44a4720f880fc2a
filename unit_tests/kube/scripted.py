"""A carrier that answers what the test wrote down, in that order, and writes down what it was asked.

After the last step nothing is answered any more. `asked` reads like `list`, `list limit=250`, `list continue=t`, `watch 10`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from kube.carrier import JSON, Answer, Stream
from kube.objects import Raw, Resource
from unit_tests.kube.fake_streams import FakeStream

MAPS = Resource(version="v1", plural="configmaps", kind="ConfigMap")
HANG = None  # the last thing of a watch: nothing comes any more
END = "end"  # the server ends it


def config_map(name: str, version: int | str = "1", *, uid: str = "", **data: str) -> Raw:
    head = {"name": name, "namespace": "default", "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": head, "data": data}


def listed(version: int | str, *items: Any, token: str = "") -> Answer:
    head = {"resourceVersion": str(version)} | ({"continue": token} if token else {})
    return Answer(status=200, body=json.dumps({"kind": "ConfigMapList", "metadata": head, "items": list(items)}).encode())


def event(kind: str, raw: Any) -> bytes:
    return json.dumps({"type": kind, "object": raw}).encode()


def bookmark(version: int | str) -> bytes:
    return event("BOOKMARK", {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"resourceVersion": str(version)}})


def said(code: int, reason: str = "", **details: Any) -> Raw:
    return {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "no", "details": details}


@dataclass(frozen=True)
class Watched:
    """Lines, then what becomes of the stream: END, HANG, seconds to wait before END, or an exception."""

    lines: tuple[bytes, ...] = ()
    then: Any = HANG


def watched(*lines: bytes, then: Any = HANG) -> Watched:
    return Watched(lines, then)


class ScriptedStream(FakeStream):
    def __init__(self, step: Watched) -> None:
        super().__init__()
        self._step = step

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for line in self._step.lines:
            yield line
        if self._step.then is HANG:
            await asyncio.Event().wait()
        if isinstance(self._step.then, Exception):
            raise self._step.then
        if self._step.then != END:
            await asyncio.sleep(self._step.then)


class Script:
    def __init__(self, *steps: Answer | Watched | Exception) -> None:
        self._steps = list(steps)
        self.asked: list[str] = []
        self.times: list[float] = []
        self.params: list[Mapping[str, str]] = []

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        deadline: float,
    ) -> Answer:
        given = params or {}
        shown = {name: text for name, text in given.items() if (name, text) != ("limit", "500")}
        return await self._next(" ".join(["list", *(f"{name}={text}" for name, text in shown.items())]), given)

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Mapping[str, str] | None = None, accept: str = JSON, open_deadline: float, silence: float
    ) -> AsyncIterator[Stream]:
        step = await self._next(f"watch {(params or {})['resourceVersion']}", params or {})
        if isinstance(step, Answer):
            yield FakeStream(step.status, step.headers, step.body)
        else:
            yield ScriptedStream(step)

    async def _next(self, asked: str, params: Mapping[str, str]) -> Any:
        self.asked.append(asked)
        self.params.append(params)
        self.times.append(asyncio.get_running_loop().time())
        if not self._steps:
            await asyncio.Event().wait()
        step = self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step
