"""Launches one command behind the wall for the tests: `python driver.py LIBRARY ORDER`. Standard library only.

ORDER is JSON: argv, env, cwd, hidden, read_only, session, target (where the relay goes), signal, hide_later, leak (a file left open). The
command's exit code becomes this process' own.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])

from groyne.isolation.launch import Sandboxed, launch
from groyne.isolation.relay import open_relay
from groyne.isolation.spec import LaunchSpec


def main() -> int:
    order = json.loads(sys.argv[2])
    if order.get("leak"):  # a descriptor that a careless parent left inheritable
        os.dup2(os.open(order["leak"], os.O_RDONLY), 9, inheritable=True)
    started = launch(
        LaunchSpec(
            argv=tuple(order["argv"]),
            env=order["env"],
            cwd=Path(order["cwd"]),
            session=order.get("session", {}),
            hidden_paths=tuple(map(Path, order.get("hidden", ()))),
            read_only_paths=tuple(map(Path, order.get("read_only", ()))),
        )
    )
    if not isinstance(started, Sandboxed):
        print(started, file=sys.stderr)
        return getattr(started, "exit_code", 70)
    try:
        return asyncio.run(_serve(started, order))
    finally:
        started.close()


async def _serve(started: Sandboxed, order: dict[str, object]) -> int:
    # As `groyne run` does: keys reach the command by themselves, and must not end us before it.
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, lambda: None)
    target = order.get("target")
    relay = await open_relay(target=tuple(target), listeners=started.listeners) if target else None  # type: ignore[arg-type]
    if "signal" in order:
        started.send_signal(int(str(order["signal"])))
    try:
        if "hide_later" in order:
            asyncio.get_running_loop().call_later(0.3, started.hide, [Path(path) for path in order["hide_later"]])  # type: ignore[attr-defined]
        return await started.wait()
    finally:
        if relay is not None:
            relay.close()


if __name__ == "__main__":
    sys.exit(main())
