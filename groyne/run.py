"""`groyne run`: Envoy and a command, the policy between them, for as long as the command lives.

Order of starting: policy, run directory, resolver, Envoy (`session`), then the command behind the wall, the relay last, because
only the wall can make the sockets that it accepts on. Ending goes the other way. In between, edits take effect (`edits`)
and the audit follows Envoy's log.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from groyne import output
from groyne.audit import Audit
from groyne.edits import Hide, obey_edits
from groyne.environment.proxy_env import client_environment
from groyne.isolation.launch import Sandboxed, launch
from groyne.isolation.relay import Relay, open_relay
from groyne.isolation.spec import LaunchSpec, NotStarted, Unsupported
from groyne.session import PROXY_SOCKET, RunError, RunSpec, Session, started
from groyne.trust import TRUSTSTORE_PASSWORD

INSIDE_PORT = 15080
AUDIT_INTERVAL = 0.2
FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGQUIT)
KEYS = (signal.SIGINT, signal.SIGQUIT)
ENDING = (signal.SIGTERM, signal.SIGHUP)
Announce = Callable[[dict[str, str]], None]


async def run(spec: RunSpec, announce: Announce) -> tuple[int, Audit]:
    """The command's exit code and what happened. Raises RunError. Without a command, serves until SIGINT, SIGTERM or SIGHUP."""
    try:
        with ending():
            return await _run(spec, announce)
    except ExceptionGroup as group:
        raise _first(group) from None


async def _run(spec: RunSpec, announce: Announce) -> tuple[int, Audit]:
    async with started(spec) as session:
        if not spec.command:
            code = await serve(session, announce)
        elif spec.isolate:
            code = await isolated(session)
        else:
            code = await advisory(session)
    return code, session.audit


@contextmanager
def ending() -> Iterator[None]:
    """A signal that comes before the command is there, or after it, ends Groyne too, but with the run directory removed."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    came: list[signal.Signals] = []

    def end(number: signal.Signals) -> None:
        came.append(number)
        if task:
            task.cancel()

    for number in ENDING:
        loop.add_signal_handler(number, end, number)
    try:
        yield
    except asyncio.CancelledError:
        if not came:
            raise
        raise RunError(f"ended by {came[0].name}", 128 + came[0]) from None
    finally:
        for number in ENDING:
            loop.remove_signal_handler(number)


def _first(group: ExceptionGroup[Exception]) -> Exception:
    """Task groups wrap what is raised inside them; one reason is enough for the user, and ours come first."""
    ours, others = group.split(RunError)
    error: Exception = ours or others or group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


async def isolated(session: Session) -> int:
    spec = session.spec
    # The audit, the policy and what Envoy reads are none of the command's to change.
    launched = launch(
        LaunchSpec(
            argv=spec.command,
            env=environment(session, f"http://127.0.0.1:{INSIDE_PORT}", isolated=True),
            cwd=_cwd(),
            session=dict(spec.environ),
            hidden_paths=(
                session.directory.everyones,
                *session.workspace.credentials.files,
                *filter(None, (spec.audit, spec.sandbox_token)),
            ),
            read_only_paths=(spec.directory, session.directory.public),
            proxy_port=INSIDE_PORT,
        )
    )
    if isinstance(launched, Unsupported):
        raise RunError(launched.reason)
    if isinstance(launched, NotStarted):
        raise RunError(launched.message, launched.exit_code)
    try:
        relay = await open_relay(target=_target(session), listeners=launched.listeners, on_refused=session.refused)
        with forwarding(launched.send_signal):
            return await _attended(session, relay, launched)
    finally:
        launched.close()


async def _attended(session: Session, relay: Relay, launched: Sandboxed) -> int:
    async with attending(session, relay, launched.hide):
        return await launched.wait()


async def advisory(session: Session) -> int:
    """Without the wall: the command is only asked to use the proxy."""
    output.say("groyne: not isolated: a program that ignores the proxy variables goes past the policy")
    relay = await loopback_relay(session)
    env = environment(session, f"http://127.0.0.1:{relay.addresses[0][1]}", isolated=False)
    async with attending(session, relay):
        try:
            process = await asyncio.create_subprocess_exec(*session.spec.command, env=env)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            shell_code = output.Exit.NOT_FOUND if missing else output.Exit.NOT_EXECUTABLE
            raise RunError(f"{session.spec.command[0]}: {os.strerror(error.errno or 0)}", shell_code) from error
        with forwarding(process.send_signal):
            code = await process.wait()
    return code if code >= 0 else 128 - code


async def loopback_relay(session: Session) -> Relay:
    port = session.spec.port
    try:
        return await open_relay(target=_target(session), listen=("127.0.0.1", port), on_refused=session.refused)
    except OSError as error:
        raise RunError(f"port {port} on 127.0.0.1 cannot be had: {output.because(error)}; choose another with --port") from error


async def serve(session: Session, announce: Announce) -> int:
    """No command: a proxy on this machine's loopback until it is interrupted."""
    relay = await loopback_relay(session)
    env = environment(session, f"http://127.0.0.1:{relay.addresses[0][1]}", isolated=False)
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, *ENDING):
        loop.add_signal_handler(number, done.set)
    announce({name: value for name, value in env.items() if session.spec.environ.get(name) != value})
    async with attending(session, relay):
        await done.wait()
    return output.Exit.OK


def _nothing_to_hide(_: Iterable[Path]) -> object:
    """Without a wall every file stays readable."""
    return None


class attending:  # noqa: N801 - reads as a verb where it is used
    """While something runs: the audit follows, edits are obeyed, and the relay is closed in the end."""

    def __init__(self, session: Session, relay: Relay, hide: Hide = _nothing_to_hide) -> None:
        self._session, self._relay, self._hide = session, relay, hide
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> None:
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        self._tasks = [
            self._group.create_task(follow(self._session)),
            self._group.create_task(obey_edits(self._session, self._relay, self._hide)),
            self._group.create_task(watch_envoy(self._session)),
            self._group.create_task(self._session.external.keep()),
        ]

    async def __aexit__(self, *failure: object) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            await self._group.__aexit__(*failure)  # type: ignore[arg-type]
        finally:
            self._relay.close()


async def follow(session: Session) -> None:
    while True:
        await asyncio.sleep(AUDIT_INTERVAL)
        session.catch_up()


async def watch_envoy(session: Session) -> None:
    """If Envoy ends the command has no way out: nothing passes, and the user is told why."""
    if session.proxy.envoy:
        await session.proxy.envoy.process.wait()
        output.say(f"groyne: Envoy ended; nothing passes any more: {session.proxy.envoy.last_words()}")


def environment(session: Session, proxy_url: str, *, isolated: bool) -> dict[str, str]:
    public = session.directory.public
    return client_environment(
        session.env,
        proxy_url=proxy_url,
        isolated=isolated,
        ca_file=public / "ca.pem",
        bundle_file=public / "bundle.pem",
        java_truststore=public / "truststore.p12",
        java_truststore_password=TRUSTSTORE_PASSWORD,
    )


@contextmanager
def forwarding(send: Callable[[int], None]) -> Iterator[None]:
    """Signals go to the command. What the terminal's keys send it has had already: it is in the same process group."""
    loop = asyncio.get_running_loop()
    for number in FORWARDED:
        loop.add_signal_handler(number, _forward, send, number)
    try:
        yield
    finally:
        for number in FORWARDED:
            loop.remove_signal_handler(number)
        for number in ENDING:
            loop.add_signal_handler(number, _ending_already)


def _ending_already() -> None:
    """The command is gone and Groyne removes what it wrote: it ends by itself, with the command's exit code."""


def _forward(send: Callable[[int], None], number: int) -> None:
    if number in KEYS and _in_foreground():
        return
    with suppress(ProcessLookupError):
        send(number)


def _in_foreground() -> bool:
    try:
        with open(os.ctermid(), "rb") as terminal:  # noqa: PTH123 - a device
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False


def _target(session: Session) -> str:
    return str(session.directory.private / PROXY_SOCKET)


def _cwd() -> Path:
    return Path.cwd()
