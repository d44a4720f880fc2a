"""Drives one stream: messages in order through the machine, credentials fetched in between, the outcome told at the end.

The transport gives serialised messages and takes them; how it does so is not known here. A stream that ends early, or a
message that nobody can read, never lets anything pass: the transport ends the call with an error and Envoy refuses. An end
without an error would be leave to go on unjudged. A body that is kept until it is whole has `PATIENCE` to come.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from extproc.edge.messages import Reader, Unreadable, write
from extproc.events import Answer, Event, Headers, Late, Response
from extproc.identity import Peer
from extproc.stream import Machine, Resolved, Wanting, passed
from policy.program import Rule

PATIENCE = 30.0
"""Seconds: ample for 256 KiB, and no time to fill the memory with bodies that never end."""

Issued = Mapping[str, Mapping[str, str] | None]


class Desk(Protocol):
    """Who knows what the process knows: the snapshot, the providers, who is told."""

    def admit(self, headers: Headers, peer: Peer) -> Machine | Answer:
        """A machine for the request, or the answer where nobody knows whose it is or what holds."""

    async def issue(self, machine: Machine, rules: Sequence[Rule]) -> Issued:
        """The credentials of these rules by id; None where one is not to be had. Never raises."""

    def resolved(self, outcome: Resolved) -> None:
        """Never blocks, never raises."""

    def clock(self) -> float:
        """Monotonic, in seconds."""

    def answered(self, machine: Machine, began: float) -> None:
        """The machine has decided a request whose headers came at `began`. Never blocks, never raises."""

    def opened(self) -> None:
        """A stream; `closed` follows."""

    def closed(self, *, failed: bool) -> None:
        """`failed`: by an error that is not just a client's leaving."""


class Gone(Exception):  # noqa: N818 - what the client is
    """The client has left: there is nobody to answer."""


class Undecided(Gone):
    """It has said all that it says, and nothing was decided."""


async def drive(messages: AsyncIterator[bytes], peer: Peer, desk: Desk) -> AsyncIterator[bytes]:
    """Raises Unreadable where the stream is none of Envoy's, Undecided where it ends too early, and what `messages` raises."""
    reader = Reader()
    machine: Machine | None = None
    began: float | None = None
    by_itself = False
    try:
        with counted(desk):
            arriving, until = aiter(messages), None
            while (event := await following(arriving, reader, until)) is not None:
                if machine is None and isinstance(event, Response):
                    # Envoy answered by itself before its filter was asked: nothing was sent anywhere.
                    by_itself = True
                    for answer in passed(event):
                        yield write(answer)
                    continue
                if machine is None:
                    began = desk.clock()
                    admitted = desk.admit(first(event), peer)
                    if not isinstance(admitted, Machine):
                        yield write(admitted)
                        return
                    machine = admitted
                answers = machine.on(event)
                if isinstance(answers, Wanting):
                    answers = machine.credentials(await desk.issue(machine, answers.rules))
                until = deadline(machine, until)
                if began is not None and machine.verdict is not None:
                    desk.answered(machine, began)
                    began = None
                for answer in answers:
                    yield write(answer)
            ended(machine, by_itself=by_itself)
    finally:
        outcome = machine.resolved() if machine else None
        if outcome:
            desk.resolved(outcome)


@contextmanager
def counted(desk: Desk) -> Iterator[None]:
    failed = False
    desk.opened()
    try:
        yield
    except Gone:
        raise
    except Exception:
        failed = True
        raise
    finally:
        desk.closed(failed=failed)


async def following(arriving: AsyncIterator[bytes], reader: Reader, until: float | None) -> Event | None:
    """None after the last. Where none came `until` then, by the loop's clock, it is too late, and no other follows."""
    if until is None:
        data = await anext(arriving, None)
    else:
        try:
            async with asyncio.timeout_at(until):
                data = await anext(arriving, None)
        except TimeoutError:
            return Late()
    return None if data is None else reader.read(data)


def deadline(machine: Machine, until: float | None) -> float | None:
    if not machine.holding:
        return None
    return asyncio.get_running_loop().time() + PATIENCE if until is None else until


def ended(machine: Machine | None, *, by_itself: bool) -> None:
    """`by_itself`: Envoy only told what it had answered."""
    if machine is None and by_itself:
        return
    if machine is None or machine.verdict is None:
        raise Undecided


def first(event: Event) -> Headers:
    if not isinstance(event, Headers):
        raise Unreadable("a stream that does not begin with the request's headers")
    return event
