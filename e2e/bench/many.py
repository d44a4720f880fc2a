"""python -m e2e.bench.many [--profiles N]: what ext-proc weighs with many profiles, and how long requests wait while they change.

A real process follows an API server of this one, which holds N profiles, and answers requests all the while: first nothing else
happens, then single profiles change (each time a whole new snapshot), then all of them at once. Printed is the longest wait of a
request in each of these times, and the process's memory. Exit code 1 where a bound is missed.
"""

import argparse
import asyncio
import base64
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import yaml
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb

from dataplane.external_protocol import PEER_NAME, PEER_NAMESPACE, SANDBOX_LABELS
from extproc.edge.asgi import PATH
from extproc.edge.messages import FILTER
from unit_tests.kube.loopback import Loopback, Seen, Wire

MOST_MEMORY = 150.0
LONGEST_WAIT = 0.050
PROFILES = "/apis/agents.kruise.io/v1alpha1/securityprofiles"
SPACES = 100
PATIENCE = 300.0
STILL = 4.0


def profile(number: int, generation: int = 1) -> dict[str, Any]:
    """Three rules: a refusal, a credential of a provider, and another refusal."""
    anywhere = {"domains": [f"api-{number % 50}.example.com", "*.example.org"]}
    key = {"type": "ApiKey", "credentialRef": {"credentialProvider": {"name": "vault"}}, "apiKey": {"valueTemplate": "Bearer {{ .Token }}"}}
    rules = [
        {
            "name": "no-admin",
            "match": [{**anywhere, "paths": [{"type": "Prefix", "value": f"/admin-{generation}"}]}],
            "actions": {"block": {}},
        },
        {"name": "key", "match": [anywhere], "actions": {"tokenTransformation": key}},
        {"name": "no-deletion", "match": [{"domains": ["*"], "methods": ["DELETE"]}], "actions": {"block": {"statusCode": 405}}},
    ]
    head = {"name": f"p{number}", "namespace": f"team-{number % SPACES}", "uid": f"uid-{number}", "generation": generation}
    spec = {"selector": {"matchLabels": {"app": f"agent-{number}"}}, "rules": rules}
    return {"apiVersion": "agents.kruise.io/v1alpha1", "kind": "SecurityProfile", "metadata": head, "spec": spec}


@dataclass(slots=True)
class Server:
    """Lists in pages, and watches that say what `say` is told."""

    profiles: int
    version: int = 1000
    watches: list[Wire] = field(default_factory=list)

    async def answer(self, seen: Seen, wire: Wire) -> None:
        asked = urlsplit(seen.target)
        query = {name: values[0] for name, values in parse_qs(asked.query).items()}
        if "watch" in query:
            await wire.begin()
            if asked.path == PROFILES:
                self.watches.append(wire)
            await asyncio.sleep(PATIENCE)
            return
        start, limit = int(query.get("continue", 0)), int(query.get("limit", 500))
        numbers = range(start, min(start + limit, self.profiles)) if asked.path == PROFILES else range(0)
        head = {"resourceVersion": str(self.version)}
        if asked.path == PROFILES and start + limit < self.profiles:
            head["continue"] = str(start + limit)
        items = [self.stamped(profile(number)) for number in numbers]
        await wire.answer(200, json.dumps({"kind": "List", "apiVersion": "v1", "metadata": head, "items": items}).encode())

    def stamped(self, raw: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        raw["metadata"]["resourceVersion"] = str(self.version)
        return raw

    async def say(self, *raws: dict[str, Any]) -> None:
        lines = [json.dumps({"type": "MODIFIED", "object": self.stamped(raw)}).encode() + b"\n" for raw in raws]
        for wire in self.watches:
            await wire.chunk(b"".join(lines))


@dataclass(slots=True)
class Asked:
    """What the process that asks has written: when each request began, and how long it waited."""

    path: Path
    since: float = field(default_factory=time.perf_counter)

    def longest(self) -> float:
        """In seconds, of those since the last time."""
        lines = [line.split() for line in self.path.read_text().splitlines()[:-1]]
        since, self.since = self.since, time.perf_counter()
        return max(float(wait) for began, wait in lines if float(began) >= since)


def message(number: int) -> bytes:
    found = pb.ProcessingRequest()
    lines = {":method": "DELETE", ":path": "/v1/x", ":authority": f"api-{number % 50}.example.com", ":scheme": "https", "x-a": "b" * 100}
    for name, value in lines.items():
        found.request_headers.headers.headers.add(key=name, raw_value=value.encode())
    found.request_headers.end_of_stream = True
    labels = base64.b64encode(f"app=agent-{number}".encode()).decode()
    found.attributes[FILTER].update({PEER_NAMESPACE: f"team-{number % SPACES}", PEER_NAME: "pod", SANDBOX_LABELS: labels})
    return bytes(found.SerializeToString())


def ask(path: str, profiles: int) -> None:
    """One after the other, of another pod each time; every answer must be that profile's refusal."""
    with grpc.insecure_channel(f"unix:{path}") as channel:
        process = channel.stream_stream(PATH)
        number = 0
        while True:
            number = (number + 7919) % profiles
            began = time.perf_counter()
            call = process(iter([message(number)]))
            answer = pb.ProcessingResponse.FromString(next(call))
            print(began, time.perf_counter() - began, flush=True)
            if list(call) or answer.immediate_response.status.code != 405:
                raise AssertionError(f"{answer} is not what profile p{number} says")
            time.sleep(0.001)


@asynccontextmanager
async def process(place: Path, server: Server) -> AsyncIterator[subprocess.Popen[bytes]]:
    loopback = Loopback(place)
    loopback.answering = server.answer
    async with loopback.serving():
        (place / "kubeconfig").write_text(yaml.safe_dump(loopback.kubeconfig(loopback.user())))
        arguments = ["--kubeconfig", str(place / "kubeconfig"), "--listen", f"unix:{place}/s", "--grpc-health", "", "--health-port", "0"]
        with started(place / "log", "-m", "extproc", *arguments, "--identity", "attributes") as running:
            yield running


@contextmanager
def started(output: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    with output.open("wb") as file, subprocess.Popen([sys.executable, *command], stdout=file, stderr=file) as running:
        try:
            yield running
        finally:
            running.terminate()


def memory(running: subprocess.Popen[bytes], line: str = "VmRSS") -> float:
    """Resident, in MB."""
    text = Path(f"/proc/{running.pid}/status").read_text()
    return next(int(each.split()[1]) for each in text.splitlines() if each.startswith(line)) / 1024


async def still(count: Callable[[], int]) -> None:
    """Until it has not grown for a while."""
    seen, since = count(), time.monotonic()
    while time.monotonic() - since < STILL:
        await asyncio.sleep(0.1)
        if count() != seen:
            seen, since = count(), time.monotonic()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.1)


async def measure(profiles: int, place: Path) -> dict[str, float]:
    server = Server(profiles)
    async with process(place, server) as running:

        def reads() -> int:
            return (place / "log").read_text().count("read the cluster")

        began = time.perf_counter()
        await until(lambda: reads() == 1)
        found = {"seconds until ready": time.perf_counter() - began, "MB at first": memory(running)}
        with started(place / "asked", "-m", "e2e.bench.many", "--profiles", str(profiles), "--ask", f"{place}/s"):
            await until(lambda: (place / "asked").read_bytes().count(b"\n") > 100)
            asked = Asked(place / "asked")
            await asyncio.sleep(5)
            found["longest wait at rest"] = asked.longest()
            for number in range(10):
                before = reads()
                await server.say(profile(number, 2))
                await until(lambda before=before: reads() > before)  # type: ignore[misc]
            found["longest wait while single profiles change"] = asked.longest()
            before = reads()
            for start in range(0, profiles, 200):
                await server.say(*(profile(number, 3) for number in range(start, min(start + 200, profiles))))
            await until(lambda: reads() > before)
            await still(reads)
            found |= {"longest wait while all change": asked.longest(), "MB at last": memory(running)}
            found["MB at most"] = memory(running, "VmHWM")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.bench.many", description=__doc__)
    parser.add_argument("--profiles", type=int, default=10_000)
    parser.add_argument("--ask", metavar="PATH", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        ask(arguments.ask, arguments.profiles)
    with tempfile.TemporaryDirectory(prefix="many-") as directory:
        found = asyncio.run(measure(arguments.profiles, Path(directory)))
    for name, value in found.items():
        print(f"{name}: {value * 1000:.1f} ms" if "wait" in name else f"{name}: {value:.1f}")
    missed = found["MB at last"] > MOST_MEMORY or max(value for name, value in found.items() if "wait" in name) > LONGEST_WAIT
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
