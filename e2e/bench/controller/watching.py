"""What is written, seen from outside: a watch of its own, through pykube, that notes when each object first is as it should be.

It shares no code with the controller, and asks for metadata alone where that says enough, because its own work takes time from the cores
that are measured.
"""

import json
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import pykube
from requests import RequestException

Raw = dict[str, Any]
METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
SECONDS = 3600


class Watching:
    """`as_it_should` is asked of every event's object; `seen` has the moment (monotonic) of its first yes, by name."""

    def __init__(self, api: pykube.HTTPClient, path: str, as_it_should: Callable[[Raw], bool], *, metadata: bool = True) -> None:
        self._api, self._path, self._as_it_should = api, path, as_it_should
        self._accept = METADATA if metadata else "application/json"
        self._changed = threading.Condition()
        self._opened = threading.Event()
        self._ending = False
        self.seen: dict[str, float] = {}

    def __enter__(self) -> Self:
        threading.Thread(target=self._follow, daemon=True).start()
        assert self._opened.wait(30), f"no watch of {self._path} within 30 s"
        return self

    def __exit__(self, *_: object) -> None:
        """The thread ends with the server: closing what another thread reads from waits for that thread."""
        self._ending = True

    @property
    def last(self) -> float:
        return max(self.seen.values())

    def until(self, count: int, patience: float, alive: Callable[[], bool] = lambda: True) -> None:
        """Until so many were seen."""
        end = time.monotonic() + patience
        with self._changed:
            while len(self.seen) < count and time.monotonic() < end and alive():
                self._changed.wait(0.2)
        assert len(self.seen) >= count, f"{len(self.seen)} of {count} {self._path} within {patience:g} s"

    def next(self, name: str, patience: float) -> float:
        """When `name` is seen anew. To be called after `forget`."""
        with self._changed:
            found = self._changed.wait_for(lambda: name in self.seen, patience)
        assert found, f"no event of {name} within {patience:g} s"
        return self.seen[name]

    def forget(self) -> None:
        with self._changed:
            self.seen.clear()

    def _follow(self) -> None:
        group, _, plural = self._path.rpartition("/")  # as in networking.k8s.io/v1/networkpolicies
        place = {"base": f"/apis/{group.rpartition('/')[0]}", "version": group.rpartition("/")[2]} if group else {"version": "v1"}
        asked = {"watch": "1", "timeoutSeconds": str(SECONDS)}
        response = self._api.get(url=plural, params=asked, stream=True, headers={"Accept": self._accept}, **place, timeout=None)
        response.raise_for_status()
        self._opened.set()
        try:
            for line in response.iter_lines(chunk_size=65536):
                self._take(json.loads(line), time.monotonic())
        except RequestException:
            if not self._ending:
                raise

    def _take(self, event: Raw, now: float) -> None:
        if event["type"] in ("ADDED", "MODIFIED") and self._as_it_should(event["object"]):
            with self._changed:
                self.seen.setdefault(event["object"]["metadata"]["name"], now)
                self._changed.notify_all()
