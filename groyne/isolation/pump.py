"""One direction of one relayed connection: bytes from a source socket to a sink socket, without waiting.

Small traffic is copied through one buffer that all pumps share; what turns out to be bulk is spliced through a pipe and never
enters this process. A pump holds at most one buffer or one pipe full, and reads no more until the sink has taken it: that is
the back-pressure. It knows nothing of HTTP; `watch` is shown the copied bytes and may forbid splicing.
"""

import fcntl
import os
import socket
from collections.abc import Callable
from contextlib import suppress

_BULK = 1 << 20
_STEP = 1 << 20
_TURNS = 32  # steps before others get their turn
_SPLICE = getattr(os, "splice", None)
_shared = memoryview(bytearray(256 << 10))


class Pump:
    """`run()` moves what can be moved now; `done` once the source has ended and the sink was told, or takes no more."""

    __slots__ = ("_ended", "_in_pipe", "_moved", "_pending", "_pipe", "_sink", "_source", "_watch", "done")

    def __init__(self, source: socket.socket, sink: socket.socket, watch: Callable[[bytes], bool]) -> None:
        self._source, self._sink, self._watch = source, sink, watch
        self._pending: memoryview = _shared[:0]
        self._pipe: tuple[int, int] | None = None
        self._in_pipe = 0
        self._moved = 0
        self._ended = False
        self.done = False

    def run(self) -> bool:
        """Whether there may be more to move at once. Errors of the source are raised; those of the sink end this direction."""
        for _ in range(_TURNS):
            try:
                if self.done or not self._turn():
                    return False
            except BlockingIOError:
                return False
        return True

    def close(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe[0])
            os.close(self._pipe[1])
            self._pipe = None
        self.done = True

    def _turn(self) -> bool:
        if not self._flush():
            return False
        if self._ended:
            self._finish()
            return False
        if self._pipe is not None:
            self._splice_in(self._pipe[1])
        else:
            self._copy_in()
        return True

    def _copy_in(self) -> None:
        size = self._source.recv_into(_shared)
        if size == 0:
            self._ended = True
            return
        may_splice = self._watch(bytes(_shared[: min(size, len(_shared))]))
        self._moved += size
        sent = self._send(_shared[:size])
        if sent < size:
            self._pending = memoryview(bytes(_shared[sent:size]))
        if may_splice and self._moved > _BULK and _SPLICE is not None:
            self._open_pipe()

    def _open_pipe(self) -> None:
        with suppress(OSError):  # out of descriptors: copying goes on
            self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.fcntl(self._pipe[1], fcntl.F_SETPIPE_SZ, _STEP)

    def _splice_in(self, pipe: int) -> None:
        size = os.splice(self._source.fileno(), pipe, _STEP, flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE)
        self._ended = size == 0
        self._in_pipe += size

    def _flush(self) -> bool:
        """Whether nothing waits for the sink any more."""
        if self._pending:
            self._pending = self._pending[self._send(self._pending) :]
            if self._pending:
                return False
        while self._in_pipe and self._pipe is not None:
            try:
                self._in_pipe -= os.splice(self._pipe[0], self._sink.fileno(), self._in_pipe, flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE)
            except BlockingIOError:
                raise
            except OSError:
                self._give_up()
                return False
        return True

    def _send(self, data: memoryview) -> int:
        try:
            return self._sink.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self._give_up()
            return len(data)

    def _give_up(self) -> None:
        """The sink takes no more, but may still have something to say: the other direction goes on until it ends."""
        self.close()

    def _finish(self) -> None:
        with suppress(OSError):
            self._sink.shutdown(socket.SHUT_WR)
        self.close()
