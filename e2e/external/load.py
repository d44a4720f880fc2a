"""Keeps a proxy busy from threads: kept-alive connections that ask for paths in turn, and what was answered, when."""

import http.client
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """`reason` is that of our own refusals. Status 0: no answer."""

    at: float
    path: str
    status: int
    reason: str = ""


@dataclass(slots=True)
class Load:
    address: tuple[str, int]
    authority: str
    paths: Sequence[str]
    asked: list[Asked] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        connection = http.client.HTTPConnection(*self.address, timeout=15)
        number = 0
        while not self.stop.is_set():
            number += 1
            path = self.paths[number % len(self.paths)]
            begun = time.monotonic()
            try:
                connection.request("GET", f"http://{self.authority}{path}")
                answer = connection.getresponse()
                body = answer.read()
                status, reason = answer.status, json.loads(body)["reason"] if body.startswith(b'{"error"') else ""
            except (OSError, http.client.HTTPException):
                connection.close()
                status, reason = 0, ""
            self.asked.append(Asked(at=begun, path=path, status=status, reason=reason))
        connection.close()

    def after(self, moment: float, path: str) -> list[Asked]:
        return sorted((each for each in self.asked if each.at >= moment and each.path.startswith(path)), key=lambda each: each.at)


@contextmanager
def under_load(address: tuple[str, int], authority: str, *paths: str, threads: int = 6) -> Iterator[Load]:
    load = Load(address, authority, paths)
    running = [threading.Thread(target=load.run, daemon=True) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield load
    finally:
        load.stop.set()
        for thread in running:
            thread.join(20)
