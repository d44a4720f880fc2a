"""What carries requests to the API server and answers back, as the rest of this package sees it.

`Carrier` has two verbs: `request` for a call that ends, `stream` for lines that keep coming. Every answer is an `Answer` or a
`Stream`, whatever its status; only silence and broken connections are raised, as `TimedOut` and `Unavailable`. The real one is
`kube.transport`; tests have an API server in memory behind the same two verbs.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`headers` have lower-case names."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


class Stream(Protocol):
    """Iterating gives complete lines, without their ends. For a status other than 200 there are none, and `body` is what was said."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def body(self) -> bytes: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...


class Carrier(Protocol):
    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] = ...,
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        deadline: float,
    ) -> Answer:
        """`deadline` is for all of it: connecting, sending, waiting and reading."""
        ...

    def stream(
        self, path: str, *, params: Mapping[str, str] = ..., accept: str = JSON, open_deadline: float, silence: float
    ) -> AbstractAsyncContextManager[Stream]:
        """`open_deadline` is until the answer's head is there; afterwards no byte for `silence` seconds is `TimedOut`."""
        ...
