"""Clients that fetch one page: each arrives with the credential, and reads the answer."""

import subprocess
import sys
from pathlib import Path

from e2e.clients import tools
from e2e.clients.harness import Place
from e2e.clients.rows import Row

PROGRAMS = Path(__file__).parent / "programs"
BUNDLE = "`HTTPS_PROXY`, `SSL_CERT_FILE`"


def fetched(place: Place, command: list[str | Path], row: Row, **environment: str) -> str:
    done = place.run([*command, f"{place.url}/page"], **environment)
    assert done.code == 0, str(done)
    assert "hello from the upstream" in done.out or "200" in done.out, str(done)
    assert [received.target for received in place.credentialed] == ["/page"] * len(place.upstream.received), place.upstream.received
    assert place.credentialed, str(done)
    row.report()
    return done.out


def test_curl(somewhere: Place) -> None:
    curl = tools.tool("curl")
    row = Row(client="curl", version=tools.version(curl, "--version"), finds="`https_proxy`, `CURL_CA_BUNDLE`", shown="GET over HTTP/2")
    out = fetched(somewhere, [curl, "-sS", "--fail", "-w", "%{http_version}"], row)
    assert out.endswith("2")


def test_requests(somewhere: Place) -> None:
    tools.module("requests")
    import requests  # noqa: PLC0415

    row = Row(client="Python requests", version=requests.__version__, finds="`HTTPS_PROXY`, `REQUESTS_CA_BUNDLE`", shown="GET")
    fetched(somewhere, [sys.executable, PROGRAMS / "fetch_requests.py"], row)


def test_httpx(somewhere: Place) -> None:
    tools.module("httpx")
    import httpx  # noqa: PLC0415

    row = Row(client="Python httpx", version=httpx.__version__, finds=BUNDLE, shown="GET over HTTP/2")
    assert "HTTP/2" in fetched(somewhere, [sys.executable, PROGRAMS / "fetch_httpx.py"], row)


def test_node_fetch(somewhere: Place) -> None:
    node = tools.node()
    finds = "`NODE_USE_ENV_PROXY`, `HTTPS_PROXY`, `NODE_EXTRA_CA_CERTS`"
    row = Row(client="Node.js fetch", version=tools.version(node, "--version"), finds=finds, shown="GET")
    fetched(somewhere, [node, PROGRAMS / "fetch.mjs"], row)


def test_go(somewhere: Place, tmp_path: Path) -> None:
    """Built outside: what a program may reach while it is built is another question."""
    go = tools.tool("go")
    subprocess.run([go, "build", "-o", tmp_path / "fetch", PROGRAMS / "fetch.go"], check=True)
    row = Row(client="Go net/http", version=tools.version(go, "version"), finds=BUNDLE, shown="GET over HTTP/2")
    assert "HTTP/2.0" in fetched(somewhere, [tmp_path / "fetch"], row)


def test_java(somewhere: Place) -> None:
    java = tools.tool("java")
    row = Row(client="Java", version=tools.version(java, "-version"), finds="`JAVA_TOOL_OPTIONS`", shown="GET with both of its clients")
    out = fetched(somewhere, [java, PROGRAMS / "Fetch.java"], row)
    assert "old 200" in out
    assert "new 200" in out


def test_a_refusal_is_read_by_a_client(somewhere: Place) -> None:
    """The policy's words arrive, and the server learns nothing."""
    curl = tools.tool("curl")
    done = somewhere.run([curl, "-sS", "-w", " %{http_code}", f"{somewhere.url}/forbidden"])
    assert done.out == "refused by policy 403", str(done)
    assert somewhere.upstream.received == []
