"""Runs a coroutine on a loop of its own whose time is virtual: nothing is waited for, an hour passes at once.

A test that waits for what can never come would hang: after a minute in which nothing is planned it fails instead.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import looptime

T = TypeVar("T")
STUCK = 60.0


def run(coro: Coroutine[Any, Any, T]) -> T:
    loop = looptime.patch_event_loop(asyncio.new_event_loop(), start=0.0, idle_step=STUCK / 2, idle_timeout=STUCK)
    try:
        return loop.run_until_complete(coro)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
