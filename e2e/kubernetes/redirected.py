"""A template's sidecar with redirected connections, as in a pod, without one: a network namespace, Envoy on the Secret's files, an echo.

Runs as a program inside `unshare --net --mount`: `python -m e2e.kubernetes.redirected FILES WORK`. Orders come as lines of JSON on standard
input, what came of each goes out the same way. Every name resolves to a server that answers with the headers that it got, and
ext-proc's port leads out over a unix socket in WORK, since nothing else leaves the namespace.
"""

import asyncio
import http.client
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from unit_tests.dataplane import pod
from unit_tests.dataplane.pod_servers import SERVER, Names, Site

SOCKET, EXT_PROC = "ext-proc.sock", 9002
LOADS = 4


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({key.lower(): value for key, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def own_resolver(work: Path) -> None:
    (work / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    subprocess.run(["mount", "--bind", str(work / "resolv.conf"), "/etc/resolv.conf"], check=True)


async def bridge(opened: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes both ways until one side ends."""
    try:
        there, back = await opened()
    except OSError:
        writer.close()
        return

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        except OSError:
            pass
        finally:
            target.close()

    await asyncio.gather(carry(reader, back), carry(there, writer))


async def way_out(work: Path) -> None:
    path = str(work / SOCKET)
    server = await asyncio.start_server(lambda *ends: bridge(lambda: asyncio.open_unix_connection(path), *ends), "127.0.0.1", EXT_PROC)
    await server.serve_forever()


class Load:
    """Requests without a pause, each thread on a connection of its own; what became of each is counted."""

    def __init__(self, host: str) -> None:
        self.host, self.found, self.going = host, Counter[str](), True
        self.threads = [threading.Thread(target=self.run) for _ in range(LOADS)]
        for thread in self.threads:
            thread.start()

    def run(self) -> None:
        while self.going:
            try:
                with socket.create_connection((pod.CHOSEN, 80), 10) as connection:
                    client = http.client.HTTPConnection("unused")
                    client.sock = connection
                    while self.going:
                        self.found[str(asked(client, self.host)["status"])] += 1
            except (OSError, http.client.HTTPException) as error:
                self.found[type(error).__name__] += 1

    def end(self) -> dict[str, int]:
        self.going = False
        for thread in self.threads:
            thread.join()
        return dict(self.found)


def asked(client: http.client.HTTPConnection, host: str) -> dict[str, Any]:
    client.request("GET", "/", headers={"Host": host})
    answer = client.getresponse()
    body = answer.read().decode()
    return {"status": answer.status, "body": json.loads(body) if answer.status == 200 else body}


def once(host: str) -> dict[str, Any]:
    try:
        with socket.create_connection((pod.CHOSEN, 80), 10) as connection:
            client = http.client.HTTPConnection("unused")
            client.sock = connection
            return asked(client, host)
    except (OSError, http.client.HTTPException) as error:
        return {"error": type(error).__name__}


def obey(orders: Any) -> None:
    load: Load | None = None
    for line in orders:
        order = json.loads(line)
        match order["do"]:
            case "ask":
                said: Any = once(order["host"])
            case "load":
                load, said = Load(order["host"]), {}
            case _:
                said = load.end() if load else {}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


def main() -> None:
    files, work = Path(sys.argv[1]), Path(sys.argv[2])
    own_resolver(work)
    pod.network(pod.DUAL)
    servers: list[socketserver.BaseServer] = [socketserver.UDPServer(("127.0.0.1", 53), Names), Site((SERVER, 80), Echo)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Thread(target=lambda: asyncio.run(way_out(work)), daemon=True).start()
    process = pod.envoy(files, pod.DUAL)
    try:
        obey(sys.stdin)
    finally:
        process.terminate()
        process.wait(10)
        os._exit(0)  # the threads have no end


if __name__ == "__main__":
    main()
