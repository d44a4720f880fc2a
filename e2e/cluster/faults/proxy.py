"""The proxy itself: it terminates TLS under a CA of its own, and gives each connection one of its own to the API server.

Everything runs in one thread beside the test's. Requests keep their bearer token; client certificates end here, so callers must have
tokens.
"""

import asyncio
import base64
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import h11

from e2e.cluster import kubeconfig
from e2e.cluster.cluster import Cluster
from e2e.cluster.faults.asked import Asked
from e2e.cluster.faults.lines import Lines
from e2e.cluster.faults.relay import Relay
from e2e.cluster.faults.rules import Forward, Rule
from e2e.cluster.faults.script import Armed, Script
from e2e.cluster.faults.wire import Peer
from e2e.cluster.pki import Authority
from e2e.cluster.workplace import workplace

_ADDRESS = "127.0.0.1"


class FaultProxy:
    """Made by `fault_proxy`. Its methods may be called from any thread at any time."""

    def __init__(self, cluster: Cluster, directory: Path, *, random: Random) -> None:
        self._directory = directory
        self._script = Script(random)
        self._asked: list[Asked] = []
        self._streams: dict[Lines, Asked] = {}
        self._clients: set[Peer] = set()
        self._refuses = False
        self._authority = Authority(directory / "pki")
        self._upstream = _Upstream(kubeconfig.current(cluster.kubeconfig, "cluster"))
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(self._listen())
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._thread.start()

    @property
    def server(self) -> str:
        return f"https://{_ADDRESS}:{self._server.sockets[0].getsockname()[1]}"

    def kubeconfig(self, origin: Path) -> Path:
        """The same account by way of this proxy."""
        if "token" not in kubeconfig.current(origin, "user"):
            raise ValueError(f"{origin.name} has no token, and a client certificate does not get through a proxy")
        path = self._directory / origin.name
        return kubeconfig.elsewhere(path, origin, server=self.server, authority=self._authority.certificate)

    def add(self, rule: Rule) -> Armed:
        """Behind the rules that are there."""
        return self._script.add(rule)

    def remove(self, armed: Armed) -> None:
        self._script.remove(armed)

    def clear(self) -> None:
        """Fair weather again, for new requests."""
        self._script.clear()
        self._refuses = False

    def refuse(self) -> None:
        """Nobody is there: connections are cut, and new ones too, until `clear`."""
        self._refuses = True
        for peer in tuple(self._clients):
            self._loop.call_soon_threadsafe(peer.abort)

    def admit(self) -> None:
        """Somebody is there again; what else is wrong stays so."""
        self._refuses = False

    def asked(self, **wanted: str) -> list[Asked]:
        """What was asked so far, in order, e.g. `asked(verb="patch", resource="secrets")`."""
        return [each for each in tuple(self._asked) if _matches(each, wanted)]

    def forget(self) -> None:
        self._asked.clear()

    def watches(self, **wanted: str) -> int:
        """How many are running."""
        return sum(_matches(each, wanted) for each in tuple(self._streams.values()))

    def cut_watches(self, **wanted: str) -> None:
        """Those that are running, at once."""
        self._each_stream(Lines.cut, wanted)

    def say(self, line: bytes, **wanted: str) -> None:
        """A line into watches that are running, at once."""
        self._each_stream(lambda lines: lines.say(line), wanted)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _each_stream(self, act: Callable[[Lines], None], wanted: dict[str, str]) -> None:
        def now() -> None:
            for lines, asked in tuple(self._streams.items()):
                if _matches(asked, wanted):
                    act(lines)

        self._loop.call_soon_threadsafe(now)

    async def _listen(self) -> asyncio.Server:
        pair = self._authority.issue("proxy", common_name="fault-proxy", hosts=[_ADDRESS])
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        context.set_alpn_protocols(["http/1.1"])
        return await asyncio.start_server(self._accept, _ADDRESS, 0, ssl=context)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Peer(reader, writer, h11.SERVER)
        self._clients.add(client)
        server = None
        try:
            if not self._refuses:
                server = await self._upstream.connect()
                await Relay(client, server, script=self._script, record=self._asked, streams=self._streams).run()
        except* (OSError, h11.ProtocolError):
            pass  # one of the two went away; so does the other, now
        finally:
            self._clients.discard(client)
            for peer in filter(None, (client, server)):
                peer.close()

    async def _end(self) -> None:
        self._server.close()
        for peer in tuple(self._clients):
            peer.abort()
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=5)


class _Upstream:
    """The API server, as a kubeconfig's `cluster` says it."""

    def __init__(self, cluster: dict[str, Any]) -> None:
        url = urlsplit(cluster["server"])
        self._address = str(url.hostname), url.port or 443
        self._trust = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        self._trust.set_alpn_protocols(["http/1.1"])

    async def connect(self) -> Peer:
        return Peer(*await asyncio.open_connection(*self._address, ssl=self._trust), h11.CLIENT)


def _matches(asked: Asked, wanted: dict[str, Any]) -> bool:
    return Rule(action=Forward(), **wanted).matches(asked)


@contextmanager
def fault_proxy(cluster: Cluster, *, seed: int = 0) -> Iterator[FaultProxy]:
    """`seed` decides what rules leave to chance."""
    with workplace("faults") as directory:
        proxy = FaultProxy(cluster, directory, random=Random(seed))
        try:
            yield proxy
        finally:
            proxy.close()
