"""The transport against a real HTTPS server on the loopback address that hangs, drips, cuts, redirects and refuses.

Real sockets know no virtual time: what has to run out here runs out within a fraction of a second.
"""

import asyncio
import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import pytest
import uvloop

from kube import transport
from kube.client import Client
from kube.errors import TimedOut, Unavailable
from kube.transport import Transport
from unit_tests.kube.carried import PATH, forever, get, heard_first, opened, talk, until, watching
from unit_tests.kube.loopback import Loopback, Seen, Wire
from unit_tests.kube.scripted import MAPS


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def test_a_call_carries_what_was_asked_and_brings_what_was_answered(tmp_path: Path) -> None:
    async def said(carrier: Transport, server: Loopback) -> Any:
        server.answering = lambda seen, wire: wire.answer(201, b'{"a":1}', X_Said="so")
        sent = {
            "params": {"fieldManager": "me", "labelSelector": "a in (b, c)"},
            "body": b'{"b":2}',
            "content_type": "application/x",
            "accept": "application/y",
        }
        return await carrier.request("POST", PATH, deadline=5, **sent), server.seen[0]

    answer, seen = talk(tmp_path, said)
    assert (answer.status, answer.body, answer.headers["x-said"]) == (201, b'{"a":1}', "so")
    assert (seen.method, seen.body) == ("POST", b'{"b":2}')
    assert seen.target.startswith(PATH + "?fieldManager=me&labelSelector=a")
    assert (seen.headers["content-type"], seen.headers["accept"]) == ("application/x", "application/y")
    assert seen.headers["authorization"] == "Bearer t0"


def test_a_call_and_a_watch_go_on_uvloop_too(tmp_path: Path) -> None:
    async def said(carrier: Transport, server: Loopback) -> int:
        server.answering = watching
        async with heard_first(carrier):
            return await get(carrier)

    assert talk(tmp_path, said, loop=uvloop.new_event_loop) == 200


@pytest.mark.parametrize("path", ["/version", "/readyz", PATH, "/api/v1/namespaces/team/configmaps/a%20b"])
def test_a_path_arrives_as_it_was_given(tmp_path: Path, path: str) -> None:
    async def said(carrier: Transport, server: Loopback) -> str:
        await carrier.request("GET", path, deadline=5)
        return server.seen[0].target.removesuffix("/")

    assert talk(tmp_path, said) == path


@pytest.mark.parametrize("inline", [False, True], ids=["files", "inline"])
def test_a_client_certificate_is_shown_and_no_copy_of_its_key_stays_behind(tmp_path: Path, temporary: Path, inline: bool) -> None:
    async def said(carrier: Transport, server: Loopback) -> Any:
        return await get(carrier), server.seen[0], carrier.namespace

    status, seen, namespace = talk(tmp_path, said, user=lambda server: server.user(inline=inline), inline=inline)
    assert (status, seen.client, namespace) == (200, "client", "team")
    assert "authorization" not in seen.headers
    assert not list(temporary.iterdir())


def test_a_kubeconfig_may_be_a_file_that_names_a_token_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")

    async def said() -> Any:
        async with Loopback(tmp_path).serving() as server:
            config = tmp_path / "config"
            config.write_text(json.dumps(server.kubeconfig({"tokenFile": "token"})))
            carrier = await Transport.connect(kubeconfig=str(config), context="x", user_agent="me/1")
            await get(carrier)
            await carrier.close()
            return server.seen[0].headers

    headers = asyncio.run(said())
    assert (headers["authorization"], headers["user-agent"]) == ("Bearer from-file", "me/1")


def test_without_a_kubeconfig_it_is_the_service_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("projected\n")
    (tmp_path / "namespace").write_text("groyne-system\n")

    async def said() -> Any:
        async with Loopback(tmp_path).serving() as server:
            monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
            monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
            carrier = await Transport.connect(service_account=str(tmp_path))
            await get(carrier)
            await carrier.close()
            return carrier.namespace, carrier.server == server.url, server.seen[0].headers["authorization"]

    assert asyncio.run(said()) == ("groyne-system", True, "Bearer projected")


def test_no_credentials_at_all_are_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="credentials"):
        asyncio.run(Transport.connect(service_account=str(tmp_path / "none")))


async def drip(seen: Seen, wire: Wire) -> None:
    await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    for _ in range(1000):
        await wire.send(b" ")
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("answering", [forever, drip], ids=["nothing", "one byte after the other"])
def test_the_deadline_is_for_all_of_a_call(tmp_path: Path, answering: Any) -> None:
    async def said(carrier: Transport, server: Loopback) -> float:
        server.answering = answering
        began = asyncio.get_running_loop().time()
        with pytest.raises(TimedOut):
            await get(carrier, 0.3)
        return asyncio.get_running_loop().time() - began

    assert talk(tmp_path, said) < 1.5


def test_the_deadline_is_for_connecting_too(tmp_path: Path) -> None:
    """A server that takes the connection and never says hello."""

    async def said(carrier: Transport, server: Loopback) -> None:
        silent = await asyncio.start_server(lambda reader, writer: asyncio.sleep(10), "127.0.0.1", 0)
        server.port = silent.sockets[0].getsockname()[1]
        other = await Transport.connect(kubeconfig=server.kubeconfig({"token": "t"}))
        with pytest.raises(TimedOut):
            await get(other, 0.3)
        with pytest.raises(TimedOut):
            async with other.stream(PATH, open_deadline=0.3, silence=5):
                pass
        silent.close()

    talk(tmp_path, said)


def test_calls_that_ran_out_of_time_take_no_connection_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "CALLS_AT_ONCE", 3)

    async def said(carrier: Transport, server: Loopback) -> int:
        server.answering = forever
        for _ in range(4):
            await asyncio.gather(*(get(carrier, 0.1) for _ in range(5)), return_exceptions=True)
        server.answering = lambda seen, wire: wire.answer()
        return await get(carrier)

    assert talk(tmp_path, said) == 200


async def cut(seen: Seen, wire: Wire) -> None:
    wire.cut()


async def half(seen: Seen, wire: Wire) -> None:
    await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf")
    wire.cut()


async def nonsense(seen: Seen, wire: Wire) -> None:
    await wire.send(b"\x00\x01\x02 nonsense\r\n\r\n")
    wire.cut()


@pytest.mark.parametrize("answering", [cut, half, nonsense])
def test_a_broken_connection_is_unavailable_and_the_next_call_has_a_new_one(tmp_path: Path, answering: Any) -> None:
    async def said(carrier: Transport, server: Loopback) -> int:
        server.answering = answering
        with pytest.raises(Unavailable) as raised:
            await get(carrier)
        assert not isinstance(raised.value, TimedOut)
        server.answering = lambda seen, wire: wire.answer()
        return await get(carrier)

    assert talk(tmp_path, said) == 200


def test_a_server_that_is_not_there_or_not_itself_is_unavailable(tmp_path: Path) -> None:
    async def said(carrier: Transport, server: Loopback) -> None:
        (tmp_path / "other").mkdir()
        stranger = {"certificate-authority": str(Loopback(tmp_path / "other").ca)}
        for cluster, words in (({"server": "https://127.0.0.1:1"}, "connect"), (stranger, "CERTIFICATE_VERIFY_FAILED")):
            other = await Transport.connect(kubeconfig=server.kubeconfig({"token": "hunter2"}, **cluster))
            with pytest.raises(Unavailable, match=f"(?i){words}") as raised:
                await get(other)
            assert "hunter2" not in str(raised.value)
        assert not server.seen

    talk(tmp_path, said)


@pytest.mark.parametrize("token", ["hunter2\nhunter2", "hunter2 hunter2", "hunter2\x00", "hunter2é"])
def test_a_token_that_no_header_can_hold_is_refused_and_not_repeated(tmp_path: Path, caplog: pytest.LogCaptureFixture, token: str) -> None:
    """Else it stands in httpcore's log."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ValueError, match="characters") as raised:
        talk(tmp_path, lambda carrier, server: get(carrier), user={"token": token})
    assert "hunter2" not in str(raised.value) + caplog.text


def test_a_call_shows_its_token_to_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert talk(tmp_path, lambda carrier, server: get(carrier), user={"token": "hunter2"}) == 200
    assert "hunter2" not in caplog.text


def test_no_redirect_is_followed(tmp_path: Path) -> None:
    async def said(carrier: Transport, server: Loopback) -> Any:
        server.answering = lambda seen, wire: wire.answer(302, Location=f"{server.url}/elsewhere")
        async with opened(carrier) as stream:
            return await get(carrier), stream.status, [seen.target.partition("?")[0] for seen in server.seen]

    assert talk(tmp_path, said) == (302, 302, [PATH, PATH])


def test_a_proxy_of_the_environment_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def said(carrier: Transport, server: Loopback) -> int:
        return await get(carrier)

    assert talk(tmp_path, said) == 200


def test_a_proxy_of_the_kubeconfig_does(tmp_path: Path) -> None:
    asked = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.close()

    async def said(carrier: Transport, server: Loopback) -> None:
        listening = await asyncio.start_server(proxy, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        other = await Transport.connect(kubeconfig=server.kubeconfig({"token": "t"}, **{"proxy-url": url}))
        with pytest.raises(Unavailable):
            await get(other)
        listening.close()
        assert asked == [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n".encode()]

    talk(tmp_path, said)


def test_a_tunnel_leads_through_a_proxy_and_the_server_s_certificate_is_checked_within(tmp_path: Path) -> None:
    asked = []

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(data)
        writer.close()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n"))
        there = await asyncio.open_connection("127.0.0.1", int(asked[-1][0].split()[1].rpartition(":")[2]))
        writer.write(b"HTTP/1.1 200 Go\r\nVia: us\r\n\r\n")
        await asyncio.gather(pipe(reader, there[1]), pipe(there[0], writer), return_exceptions=True)

    async def said(carrier: Transport, server: Loopback) -> Any:
        async with await asyncio.start_server(proxy, "127.0.0.1", 0) as listening:
            url = f"http://me:p%40ss@127.0.0.1:{listening.sockets[0].getsockname()[1]}"
            options = server.kubeconfig({"token": "t"}, **{"proxy-url": url})
            other = await Transport.connect(kubeconfig=options)
            statuses = [await get(other) for _ in range(3)]
            wrong = await Transport.connect(kubeconfig=server.kubeconfig({"token": "t"}, **{"proxy-url": url, "tls-server-name": "other"}))
            with pytest.raises(Unavailable, match="other"):
                await get(wrong)
            await other.close()
        return statuses, len(asked), "Proxy-Authorization: Basic bWU6cEBzcw==" in asked[0]

    assert talk(tmp_path, said) == ([200, 200, 200], 2, True)


def test_a_server_may_lie_below_a_path(tmp_path: Path) -> None:
    async def said(carrier: Transport, server: Loopback) -> str:
        config = server.kubeconfig({"token": "t"})
        config["clusters"][0]["cluster"]["server"] += "/k8s/clusters/c-1/"
        other = await Transport.connect(kubeconfig=config)
        await get(other)
        await other.close()
        return server.seen[-1].target

    assert talk(tmp_path, said) == f"/k8s/clusters/c-1{PATH}"


async def once(seen: Seen, wire: Wire) -> None:
    await wire.answer(connection="close")
    wire.cut()


async def quietly_gone(seen: Seen, wire: Wire) -> None:
    await wire.answer()
    await asyncio.sleep(0.01)
    wire.cut()


@pytest.mark.parametrize("answering", [once, quietly_gone])
def test_a_connection_that_the_server_closes_after_its_answer_is_not_used_again(tmp_path: Path, answering: Any) -> None:
    async def said(carrier: Transport, server: Loopback) -> Any:
        server.answering = answering
        statuses = []
        for _ in range(3):
            statuses.append(await get(carrier))
            await until(lambda: server.open == 0)
            await asyncio.sleep(0.05)
        return statuses, len({seen.connection for seen in server.seen})

    assert talk(tmp_path, said) == ([200, 200, 200], 3)


def test_an_answer_may_be_long_come_in_pieces_and_be_announced(tmp_path: Path) -> None:
    body = b"x" * 3_000_000

    async def answering(seen: Seen, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if len(seen.body) == len(body):
            await wire.begin()
            for start in range(0, len(body), 700_001):
                await wire.chunk(body[start : start + 700_001])
            await wire.chunk(b"")

    async def said(carrier: Transport, server: Loopback) -> Any:
        server.answering = answering
        answers = [await carrier.request("POST", PATH, body=body, deadline=20) for _ in range(2)]
        return [answer.body == body for answer in answers], len({seen.connection for seen in server.seen})

    assert talk(tmp_path, said) == ([True, True], 1)


def test_calls_one_after_the_other_share_a_connection_and_calls_at_once_have_one_each(tmp_path: Path) -> None:
    async def said(carrier: Transport, server: Loopback) -> Any:
        for _ in range(10):
            await get(carrier)
        alone = {seen.connection for seen in server.seen}
        await asyncio.gather(*(get(carrier) for _ in range(60)))
        return len(alone), len({seen.connection for seen in server.seen})

    alone, together = talk(tmp_path, said)
    assert alone == 1
    assert together <= 60


def test_watches_take_no_connection_from_calls_or_from_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "CALLS_AT_ONCE", 5)

    async def said(carrier: Transport, server: Loopback) -> Any:
        server.answering = watching
        async with asyncio.TaskGroup() as group:
            done = asyncio.Event()
            heard: list[None] = []
            for _ in range(120):
                group.create_task(one_watch(carrier, heard, done))
            await until(lambda: len(heard) == 120)
            statuses = await asyncio.gather(*(get(carrier) for _ in range(20)))
            done.set()
        return set(statuses)

    async def one_watch(carrier: Transport, heard: list[None], done: asyncio.Event) -> None:
        async with heard_first(carrier):
            heard.append(None)
            await done.wait()

    assert talk(tmp_path, said) == {200}


def test_a_closed_transport_says_so(tmp_path: Path) -> None:
    async def said(carrier: Transport, server: Loopback) -> None:
        await get(carrier)
        await carrier.close()
        with pytest.raises(Unavailable):
            await get(carrier)

    talk(tmp_path, said)


def test_a_call_that_is_cancelled_is_cancelled(tmp_path: Path) -> None:
    async def said(carrier: Transport, server: Loopback) -> int:
        server.answering = forever
        calling = asyncio.get_running_loop().create_task(get(carrier))
        await until(lambda: bool(server.seen))
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        server.answering = lambda seen, wire: wire.answer()
        return await get(carrier)

    assert talk(tmp_path, said) == 200


def test_a_client_on_it_lists(tmp_path: Path) -> None:
    async def said(carrier: Transport, server: Loopback) -> Any:
        server.answering = lambda seen, wire: wire.answer(200, b'{"metadata":{"resourceVersion":"7"},"items":[]}')
        return (await Client(carrier, field_manager="test").list_page(MAPS)).resource_version

    assert talk(tmp_path, said) == "7"
