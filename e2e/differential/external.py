"""The third engine: ext-proc's own stream, snapshot and transport, for many programs at once, in a thread of this process.

Each program's Envoy says in its metadata which program it is; the desk gives the stream to that program's own. Credentials
come from a provider whose answers are known (`vocabulary.ISSUED`), so that the evaluator can be told the same.
"""

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry

from e2e.differential import vocabulary as words
from e2e.differential.program import Program
from extproc.admission import Admission, IdentitySource
from extproc.desk import FrontDesk
from extproc.edge.listening import TRANSPORTS, Place
from extproc.events import Answer, Headers
from extproc.identity import Peer
from extproc.issuing import Issuer
from extproc.metrics import ExtprocMetrics
from extproc.providers.seam import Failure, ProviderAnswer, ProviderError, ProviderRequest
from extproc.snapshot import SecretData, Snapshot, Sources
from extproc.stream import Machine, Resolved
from policy.program import ProviderRef, Rule

SOCKET = "external.sock"
PATIENCE = 10.0
KNOWN = {**words.ISSUED, **words.STS}
TOKEN = base64.b64encode(json.dumps({"accessToken": "of-the-sandbox", "sandboxClientId": "it"}).encode()).decode("ascii")


class Known:
    """A provider that says what everybody knows."""

    async def fetch(self, ask: ProviderRequest, *, deadline: float) -> ProviderAnswer:
        values = KNOWN.get(ask.provider)
        if values is None:
            raise ProviderError(Failure.STATUS)
        return ProviderAnswer(values={key: values[key] for key in ask.keys})

    def invalidate(self, ask: ProviderRequest, answer: ProviderAnswer) -> bool:
        """Nothing is kept."""
        return False


def issued(rule: Rule) -> Mapping[str, str] | None:
    """What `Known` gives a rule."""
    source = rule.exchange.source if rule.exchange else None
    return KNOWN.get(source.name) if isinstance(source, ProviderRef) else None


class ManyDesks:
    """One desk a program."""

    def __init__(self, programs: Sequence[Program]) -> None:
        metrics = ExtprocMetrics(CollectorRegistry())
        self._issuer = Issuer(Known(), deadline=PATIENCE, failed=lambda reason: None)
        self._desks = [self._desk(program, metrics) for program in programs]

    def _desk(self, program: Program, metrics: ExtprocMetrics) -> FrontDesk:
        admission = Admission(
            sources=(IdentitySource.METADATA,), allow_unknown=False, overrides=False, unattributed=lambda reason, outcome: None
        )
        desk = FrontDesk(admission=admission, issuer=self._issuer, metrics=metrics, clock=time.monotonic)
        desk.swap(Snapshot(Sources(program=program.policy, secrets=secrets(program))))
        return desk

    def admit(self, headers: Headers, peer: Peer) -> Machine | Answer:
        number = json.loads(base64.b64decode(peer.metadata))["template"]
        return self._desks[int(number)].admit(headers, peer)

    async def issue(self, machine: Machine, rules: Sequence[Rule]) -> Mapping[str, Mapping[str, str] | None]:
        return await self._issuer.issue(machine, rules)

    def resolved(self, outcome: Resolved) -> None:
        """Nobody asks."""

    def clock(self) -> float:
        return time.monotonic()

    def answered(self, machine: Machine, began: float) -> None:
        """Nobody counts."""

    def opened(self) -> None:
        """Nobody counts."""

    def closed(self, *, failed: bool) -> None:
        """Nobody counts."""


def secrets(program: Program) -> dict[tuple[str, str], SecretData]:
    found = {}
    for manifest in program.manifests:
        if manifest["kind"] == "Secret":
            metadata = manifest["metadata"]
            data = {key: value.encode() for key, value in manifest["stringData"].items()}
            found[metadata["namespace"], metadata["name"]] = SecretData(data=data)
    return found


@contextmanager
def deciding(programs: Sequence[Program], directory: Path, transport: str) -> Iterator[str]:
    """The path of its socket."""
    path = str(directory / SOCKET)
    (directory / SOCKET).unlink(missing_ok=True)
    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        # grpcio's server belongs to the loop that it is made in.
        serving = TRANSPORTS[transport](ManyDesks(programs), Place(bind=f"unix:{path}", drain=0.2, metadata=True))
        async with asyncio.TaskGroup() as group:
            group.create_task(serving.run())
            await serving.started()
            ready.set()
            await stop.wait()
            serving.stop()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    try:
        if not ready.wait(PATIENCE):
            raise TimeoutError("ext-proc does not listen")
        yield path
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE)
