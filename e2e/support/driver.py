"""Runs inside `groyne run`: sends the requests it is given, one after another, and prints what came back as JSON lines.

Standard library only, and no client library's opinion on paths and headers: what the test wrote goes on the wire. A refused
CONNECT is a result like any other, with its status and body.
"""

import json
import os
import socket
import ssl
import sys
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

TIMEOUT = 20


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        for number, request in enumerate(json.load(file)):
            print(json.dumps({"number": number, **send(request)}), flush=True)


def send(request: dict) -> dict:
    try:
        return over_tls(request) if request["scheme"] == "https" else in_clear(request)
    except (OSError, ValueError) as error:
        return {"status": 0, "body": f"{type(error).__name__}: {error}", "headers": {}, "issuer": ""}


def proxy() -> socket.socket:
    address = urlsplit(os.environ["HTTPS_PROXY"])
    return socket.create_connection((address.hostname, address.port), timeout=TIMEOUT)


def over_tls(request: dict) -> dict:
    tunnel, authority = proxy(), request["authority"]
    name, _, port = authority.rpartition(":")
    tunnel.sendall(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
    answer = HTTPResponse(tunnel, method="CONNECT")
    answer.begin()
    if answer.status != 200:
        answer.length = int(answer.getheader("content-length") or 0)
        return result(answer)
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    with context.wrap_socket(tunnel, server_hostname=name.strip("[]") if port.isdigit() else authority) as secure:
        issuer = dict(pair for part in secure.getpeercert()["issuer"] for pair in part)
        return result(exchange(secure, request, request["path"]), issuer=issuer.get("commonName", ""))


def in_clear(request: dict) -> dict:
    return result(exchange(proxy(), request, f"http://{request['authority']}{request['path']}"))


def exchange(connected: socket.socket, request: dict, target: str) -> HTTPResponse:
    connection = HTTPConnection("unused")
    connection.sock = connected
    body = request.get("body", "").encode("latin-1")
    connection._validate_path = lambda _: None
    connection.putrequest(request["method"], target, skip_host=True, skip_accept_encoding=True)
    for name, value in [("Host", request["authority"]), *request.get("headers", [])]:
        connection.putheader(name, value)
    if body:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body or None)
    return connection.getresponse()


def result(answer: HTTPResponse, *, issuer: str = "") -> dict:
    headers = {name.lower(): value for name, value in answer.getheaders()}
    return {"status": answer.status, "body": answer.read().decode("utf-8", "replace"), "headers": headers, "issuer": issuer}


if __name__ == "__main__":
    main()
