"""Workers as real processes on one port: killed, drained, abandoned, and unable to begin."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
import urllib.request
from contextlib import asynccontextmanager, suppress

import grpc
import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb
from prometheus_client.parser import text_string_to_metric_families

from extproc.edge.asgi import PATH
from extproc.workers import Child, Silent
from unit_tests.extproc.edge.streams import headers, until
from unit_tests.extproc.edge.test_otlp import Collector, said

pytestmark = pytest.mark.timeout(300)

PROFILE = """
apiVersion: agents.kruise.io/v1alpha1
kind: SecurityProfile
metadata: {name: a, namespace: default}
spec:
  selector: {}
  rules:
    - {name: never, match: [{domains: [refused.example]}], actions: {block: {statusCode: 418}}}
"""
GLOBAL = PROFILE.replace("kind: SecurityProfile", "kind: GlobalSecurityProfile").replace(", namespace: default", "")
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


class Started:
    """`python -m extproc --workers 2`, and what it says."""

    def __init__(self, process, *, port, health, grpc_health):
        self.process, self.port, self.health, self.grpc_health = process, port, health, grpc_health
        self.lines = []

    async def read(self):
        async for line in self.process.stderr:
            with suppress(ValueError):
                self.lines.append(json.loads(line))

    def workers(self) -> dict[int, int]:
        """By number, the process that has begun last."""
        return {line["worker"]: line["worker_pid"] for line in self.lines if line.get("msg") == "a worker begins"}

    def get(self, path) -> tuple[int, str]:
        try:
            with NO_PROXY.open(f"http://127.0.0.1:{self.health}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, type(error).__name__

    async def ready(self, *, within=150.0) -> None:
        last = ""
        try:
            async with asyncio.timeout(within):
                while (last := await asyncio.to_thread(self.get, "/readyz"))[0] != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(f"not ready: {last}\n{self.lines[-10:]}")


async def spawn(tmp_path, *more, listen=None, drain=3):
    (tmp_path / "profile.yaml").write_text(GLOBAL)
    ports = {"port": free_port(), "health": free_port(), "grpc_health": free_port()}
    flags = {
        "--workers": "2",
        "--manifests": str(tmp_path),
        "--listen": listen or f"127.0.0.1:{ports['port']}",
        "--health-host": "127.0.0.1",
        "--health-port": str(ports["health"]),
        "--grpc-health": f"127.0.0.1:{ports['grpc_health']}",
        "--unauthenticated": "allow",
        "--drain": str(drain),
    }
    command = [sys.executable, "-m", "extproc", *(part for pair in flags.items() for part in pair), *more]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE)
    return Started(process, **ports)


@asynccontextmanager
async def started(tmp_path, *more, drain=3):
    found = await spawn(tmp_path, *more, drain=drain)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(found.read())
        try:
            await found.ready()
            yield found
        finally:
            if found.process.returncode is None:
                found.process.kill()
            await found.process.wait()
            await reading


def connected(port):
    """A connection of its own."""
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 100))
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options)


async def ask(channel) -> str:
    """`refused` as the rule wants it, `broken` where there is no answer, `passed` where something went on."""
    call = channel.stream_stream(PATH)()
    try:
        async with asyncio.timeout(20):
            await call.write(headers(**{":authority": "refused.example"}))
            answer = await call.read()
            # Not cancelled: many resets on one connection are an attack, and it is closed.
            await call.done_writing()
            await call.read()
    except grpc.aio.AioRpcError:
        return "broken"
    if answer is grpc.aio.EOF:
        return "broken"
    return "refused" if pb.ProcessingResponse.FromString(answer).immediate_response.status.code == 418 else "passed"


def slowness() -> float:
    """How much longer things take because others want the processors too."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def gone(pids, *, within=30.0):
    async with asyncio.timeout(within):
        while any(alive(pid) for pid in pids):  # noqa: ASYNC110 - they are not our children
            await asyncio.sleep(0.05)


def test_a_worker_is_killed_under_load_and_nothing_passes_and_it_is_back_within_two_seconds(tmp_path):
    async def live():
        async with started(tmp_path) as found:
            channels = [connected(found.port) for _ in range(12)]
            results, stop = [], asyncio.Event()

            async def load(channel):
                while not stop.is_set():
                    said = await ask(channel)
                    results.append((time.monotonic(), said))
                    await asyncio.sleep(0.005)

            async with asyncio.TaskGroup() as group:
                for channel in channels:
                    group.create_task(load(channel))
                await asyncio.sleep(1.0)
                before = found.workers()
                killed = time.monotonic()
                os.kill(before[1], signal.SIGKILL)
                await asyncio.sleep(0.01)
                async with asyncio.timeout(60):
                    while found.workers()[1] == before[1]:  # noqa: ASYNC110
                        await asyncio.sleep(0.01)
                await found.ready(within=60)
                back = time.monotonic() - killed
                await asyncio.sleep(1.0)
                stop.set()
            for channel in channels:
                await channel.close()
            after = found.workers()
            return results, killed, back, before, after

    results, killed, back, before, after = asyncio.run(live())
    assert {said for _, said in results} <= {"refused", "broken"}
    assert "broken" not in {said for at, said in results if at < killed or at > killed + 1.5 + back}
    # The other worker went on at once.
    assert any(said == "refused" for at, said in results if killed < at < killed + 0.5)
    assert after[2] == before[2]
    assert after[1] != before[1]
    assert back <= 2.0 * slowness()


def test_sigterm_lets_open_streams_end_and_takes_no_new_ones(tmp_path):
    async def live():
        async with started(tmp_path, drain=30) as found, connected(found.port) as channel:
            call = channel.stream_stream(PATH)()
            await call.write(headers(**{":authority": "open.example"}))
            assert await call.read() is not grpc.aio.EOF
            workers = found.workers()
            found.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(20):
                while True:
                    async with connected(found.port) as other:
                        if await ask(other) == "broken":
                            break
            late = pb.ProcessingRequest(response_headers=pb.HttpHeaders(end_of_stream=True))
            await call.write(late.SerializeToString())
            said = pb.ProcessingResponse.FromString(await call.read())
            await call.done_writing()
            async with asyncio.timeout(30):
                code = await found.process.wait()
            await gone(workers.values())
            return said.WhichOneof("response"), code

    assert asyncio.run(live()) == ("response_headers", 0)


def test_a_stream_that_does_not_end_has_its_time_and_no_more(tmp_path):
    async def live():
        async with started(tmp_path) as found, connected(found.port) as channel:
            call = channel.stream_stream(PATH)()
            await call.write(headers(**{":authority": "open.example"}))
            await call.read()
            began = time.monotonic()
            found.process.send_signal(signal.SIGTERM)
            await found.process.wait()
            return time.monotonic() - began

    took = asyncio.run(live())
    assert 2.5 < took < 3.0 + 4.5 * slowness()


def test_metrics_are_those_of_all_workers_and_health_is_that_of_all(tmp_path):
    async def live():
        async with started(tmp_path) as found:
            for _ in range(40):
                async with connected(found.port) as channel:
                    assert await ask(channel) == "refused"
            await asyncio.sleep(0.2)
            text = (await asyncio.to_thread(found.get, "/metrics"))[1]
            verbose = (await asyncio.to_thread(found.get, "/readyz?verbose"))[1]
            async with grpc.aio.insecure_channel(f"127.0.0.1:{found.grpc_health}", options=(("grpc.enable_http_proxy", 0),)) as channel:
                healthy = await channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5)
            return text, verbose, healthy

    text, verbose, healthy = asyncio.run(live())
    families = {family.name: family.samples for family in text_string_to_metric_families(text)}
    blocked = {each.labels["worker"]: each.value for each in families["groyne_extproc_requests"] if each.labels["outcome"] == "blocked"}
    assert sum(blocked.values()) == 40
    assert set(blocked) == {"1", "2"}
    assert all(blocked.values()), "the kernel spreads connections over both"
    assert families["groyne_extproc_workers"][0].value == 2
    assert "[+]worker-1 ok" in verbose
    assert "[+]worker-2 ok" in verbose
    assert healthy == b"\x08\x01"


def test_spans_leave_every_worker(tmp_path):
    async def live():
        collector = Collector()
        async with collector.up() as endpoint, started(tmp_path, "--traces-endpoint", endpoint) as found:
            for _ in range(20):
                async with connected(found.port) as channel:
                    assert await ask(channel) == "refused"
            await until(lambda: len(collector.spans) == 20, within=30)
        return collector

    collector = asyncio.run(live())
    assert {said(span)["groyne.rule"] for span in collector.spans} == {"a/never"}
    assert len(collector.instances) == 2


def test_without_whoever_looks_after_them_workers_end(tmp_path):
    async def live():
        async with started(tmp_path) as found:
            workers = found.workers()
            found.process.kill()
            await gone(workers.values())

    asyncio.run(live())


def test_a_worker_that_cannot_begin_ends_it_all(tmp_path):
    """As one process would: an address of nobody's is an operator's mistake."""

    async def live():
        found = await spawn(tmp_path, "--plaintext", listen="192.0.2.1:9002")
        await found.read()
        return await found.process.wait(), [line["msg"] for line in found.lines]

    code, said = asyncio.run(live())
    assert code == 2
    assert any("cannot begin" in line for line in said)


def test_a_question_that_is_given_up_leaves_its_answer_to_nobody():
    async def live():
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        child = Child(process=None, reader=reader, writer=writer)
        async with asyncio.TaskGroup() as group:
            group.create_task(child.listen())
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await child.ask(b"r")
            answer = group.create_task(child.ask(b"m"))
            await asyncio.sleep(0)
            theirs.sendall(b"\0\0\0\x01r" + b"\0\0\0\x01m")
            said = await answer
            theirs.close()
            group.create_task(forget(child))
            with pytest.raises(Silent):
                await child.ask(b"r")
        return said

    async def forget(child):
        await asyncio.sleep(0.01)
        child.forget()

    assert asyncio.run(live()) == b"m"
