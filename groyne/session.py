"""What one run is made of before its command starts: policy, directory, resolver, Envoy's configuration, audit, environment."""

import base64
import json
import os
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO, TypeVar

from dataplane.access_log import FILE as ACCESS_LOG
from dataplane.clusters import ROOTS_FILE
from dataplane.compile import Options
from dataplane.external_settings import ExternalSettings
from dataplane.listeners import DnsCache
from dataplane.literals import NOT_PUBLIC_RANGES
from dataplane.secrets import Layout
from groyne import clock, output
from groyne.audit import Audit, refused_at_the_door
from groyne.environment.proxy_env import existing_ca_files, existing_proxy
from groyne.environment.scrub import scrub
from groyne.envoy import ADMIN_SOCKET, EnvoyError, find_envoy
from groyne.external import ExternalError, ExtProc
from groyne.own_ca import trust_of
from groyne.proxy import Proxy
from groyne.resolve_option import Pins
from groyne.resolver import Resolver
from groyne.rundir import RunDirectory, run_directory, temporary_directory
from groyne.trust import Trust, bundles
from groyne.watch import Fingerprint, fingerprint
from groyne.workspace import Who, Workspace, nothing_holds, read_workspace

PROXY_SOCKET = "proxy.sock"
T = TypeVar("T")


class RunError(Exception):
    """Why nothing was started; the message is fit for the user."""

    def __init__(self, message: str, exit_code: int = output.Exit.USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What the command line asked for. `port` is where a proxy without isolation listens, 0 for any free one.

    `ext_proc` is a file of ext-proc's settings, `external` how Envoy treats it, `sandbox_token` what providers are shown.
    """

    directory: Path
    who: Who
    command: tuple[str, ...] = ()
    pins: Pins
    upstream_ca: Path | None = None
    audit: Path | None = None
    isolate: bool = True
    port: int = 0
    concurrency: int = 2
    ext_proc: Path | None = None
    external: ExternalSettings = field(default_factory=ExternalSettings)
    sandbox_token: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class Session:
    """One run's parts; `env` is the environment without credentials, `workspace` what is in force."""

    spec: RunSpec
    workspace: Workspace
    directory: RunDirectory
    proxy: Proxy
    external: ExtProc
    audit: Audit
    env: dict[str, str] = field(repr=False)
    trust: Trust
    seen: Fingerprint | None = None
    """The manifests' files just before they were read: who edits while Envoy starts is heard too."""

    def refused(self, reason: str) -> None:
        """A connection that was refused before Envoy saw it."""
        self.audit.add(refused_at_the_door(reason, clock.now()))

    def catch_up(self) -> None:
        self.audit.catch_up(self.workspace.credentials.names)


@asynccontextmanager
async def started(spec: RunSpec) -> AsyncIterator[Session]:
    """Everything but the command, with Envoy serving. Raises RunError."""
    or_refuse(Path.cwd, "the current directory cannot be had: ")
    if refusal := existing_proxy(spec.environ):
        raise RunError(refusal.message)
    binary = or_refuse(lambda: find_envoy(spec.environ))
    seen = fingerprint(spec.directory)
    workspace = acceptable(spec)
    async with AsyncExitStack() as stack:
        directory = or_refuse(lambda: stack.enter_context(run_directory(temporary_directory(spec.environ))))
        session = await stack.enter_async_context(prepared(spec, workspace, directory))
        session.seen = seen
        stack.push_async_callback(finished, session)
        try:
            # First: a request that it must decide would be refused.
            await session.external.tell(workspace)
            await session.proxy.start(binary, concurrency=spec.concurrency)
        except (EnvoyError, ExternalError) as error:
            raise RunError(str(error)) from error
        yield session


async def finished(session: Session) -> None:
    """Envoy writes its last log lines when it stops, and asks ext-proc until then."""
    await session.proxy.stop()
    await session.external.stop()
    session.catch_up()


def acceptable(spec: RunSpec) -> Workspace:
    """The policy to start with: a mistake in it is refused, a missing credential is only said."""
    workspace = read_workspace(spec.directory, spec.who, spec.environ)
    output.print_problems((p for p in workspace.problems if p.severity != "info"), output.errors())
    if workspace.broken:
        raise RunError("nothing was started: mend the policy first", output.Exit.PROBLEMS)
    if warning := nothing_holds(workspace, spec.who):
        output.say(f"groyne: {warning}")
    return workspace


@asynccontextmanager
async def prepared(spec: RunSpec, workspace: Workspace, directory: RunDirectory) -> AsyncIterator[Session]:
    trust = or_refuse(lambda: trust_of(workspace, clock.now()))
    scrubbed = scrub(spec.environ, workspace.credentials.by_name, random.SystemRandom())
    write_trust(spec, directory, trust)
    log_path = directory.private / ACCESS_LOG
    log_path.touch(mode=0o600)
    async with Resolver(static=spec.pins.addresses) as resolver:
        options = Options(
            layout=Layout(directory=str(directory.private)),
            address={"pipe": {"path": str(directory.private / PROXY_SOCKET), "mode": 0o600}},
            admin_socket=str(directory.private / ADMIN_SOCKET),
            dns=DnsCache(resolver=resolver.address, refused=NOT_PUBLIC_RANGES, pins=spec.pins.all_addresses),
            allowed_literals=spec.pins.literals,
            pinned_ports=spec.pins.ports,
        )
        proxy = Proxy(
            directory=directory,
            trust=trust,
            options=options,
            external=spec.external,
            sandbox_token=or_refuse(lambda: read_token(spec.sandbox_token), "--sandbox-token "),
            placeholders=scrubbed.placeholders,
        )
        external = ExtProc(directory=directory, config=spec.ext_proc)
        proxy.apply(workspace)
        with log_path.open(encoding="utf-8", errors="replace") as log, or_refuse(lambda: audit_file(spec.audit), "--audit ") as out:
            yield Session(spec, workspace, directory, proxy, external, Audit(log, out), scrubbed.env, trust)


def read_token(path: Path | None) -> str:
    """As a gateway's attribute has it: base64 of the JSON in the file. Raises ValueError, OSError."""
    if path is None:
        return ""
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("accessToken"), str):
        raise ValueError(f'{path}: write {{"accessToken": "…", "sandboxClientId": "…"}}')
    return base64.b64encode(json.dumps(found).encode()).decode("ascii")


def write_trust(spec: RunSpec, directory: RunDirectory, trust: Trust) -> None:
    already = existing_ca_files(spec.environ)
    made = or_refuse(lambda: bundles(trust.ca, client_files=already, upstream_ca=spec.upstream_ca))
    directory.write(ROOTS_FILE, made.upstream)
    directory.publish("ca.pem", made.ca.encode())
    directory.publish("bundle.pem", made.clients.encode())
    directory.publish("truststore.p12", made.truststore)


def audit_file(path: Path | None) -> TextIO:
    descriptor = os.open(path or Path(os.devnull), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    return os.fdopen(descriptor, "w", encoding="utf-8")


def or_refuse(make: Callable[[], T], option: str = "") -> T:
    """What cannot be made because of the world becomes the reason why nothing was started."""
    try:
        return make()
    except (OSError, EnvoyError, ValueError) as error:
        raise RunError(option + output.because(error)) from error
