"""Several processes in one simulated world: each has an event loop and clocks of its own, and can be blocked, killed or cut off.

Nothing is waited for: the world jumps to the next moment at which any loop has something to do. A machine's monotonic clock begins
anywhere and may run at another rate; its clock on the wall may be wrong; while it is blocked nothing of it runs, but its clocks
go on. What it sent before has left it. One seed, one history.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Nothing(selectors.SelectSelector):
    """Never waits: the world decides when a loop runs."""

    def select(self, timeout=None):
        return []


class Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        super().__init__(Nothing())

    def time(self) -> float:
        return self._clock()


class Machine:
    """`rate` and `begin` are of its monotonic clock, `wall` is how wrong the other is, in seconds."""

    def __init__(self, world: "World", *, rate: float = 1.0, begin: float = 0.0, wall: float = 0.0) -> None:
        self.world, self.rate, self.begin, self.wall = world, rate, begin, wall
        self.born = world.time
        self.blocked_until = self.cut_off_until = 0.0
        self.dead = False
        self.loop = Loop(self.monotonic)
        self.loop.set_exception_handler(lambda _, context: world.trouble.append(context) if not self.dead else None)
        self.tasks: list[asyncio.Task[Any]] = []
        world.machines.append(self)

    def monotonic(self) -> float:
        return self.begin + (self.world.time - self.born) * self.rate

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.world.time * self.rate + self.wall)

    def start(self, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self.loop.create_task(coro)
        self.tasks.append(task)
        return task

    def block(self, seconds: float) -> None:
        self.blocked_until = max(self.blocked_until, self.world.time + seconds)

    def cut_off(self, seconds: float) -> None:
        self.cut_off_until = max(self.cut_off_until, self.world.time + seconds)

    @property
    def reachable(self) -> bool:
        return not self.dead and self.world.time >= self.cut_off_until

    def kill(self) -> None:
        """Nothing of it runs any more, and nothing that it asked for is answered."""
        self.dead = True

    def bury(self) -> None:
        """After the end of the story: what was left in the middle is ended, so that nothing of it wakes in another test."""
        while tasks := [task for task in asyncio.all_tasks(self.loop) if not task.done()]:
            for task in tasks:
                task.cancel()
            self.world.time += 1
            self.step()
        self.loop.close()

    def due(self) -> float | None:
        """When it has something to do next, in the world's time."""
        if self.dead:
            return None
        if self.loop._ready:
            return max(self.world.time, self.blocked_until)
        if not self.loop._scheduled:
            return None
        when = self.loop._scheduled[0].when()
        return max(self.world.time, self.blocked_until, self.born + (when - self.begin) / self.rate)

    def step(self) -> None:
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()


class World:
    def __init__(self) -> None:
        self.time = 0.0
        self.machines: list[Machine] = []
        self.plans: list[tuple[float, int, Callable[[], None]]] = []
        self.trouble: list[dict[str, Any]] = []

    def run(self, until: float, *, while_: Callable[[], bool] = lambda: True) -> None:
        """Until that moment, or until `while_` no longer holds."""
        while while_():
            found = [(due, number) for number, machine in enumerate(self.machines) if (due := machine.due()) is not None]
            due, number = min(found, default=(until, -1))
            if due > until or number < 0:
                self.time = max(self.time, until)
                return
            # A hair later, so that what is due is due also after rounding.
            self.time = max(self.time, due + 1e-7 * (due > self.time))
            self.machines[number].step()

    def close(self) -> None:
        for machine in self.machines:
            machine.kill()
        for machine in self.machines:
            machine.bury()
