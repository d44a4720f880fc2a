"""Streams of the transport, and tokens that change under them, against a real HTTPS server on the loopback address."""

import asyncio
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from kube import lines, transport
from kube.errors import TimedOut, Unavailable
from kube.transport import Transport
from unit_tests.kube.carried import get, heard_first, opened, talk, until, watching
from unit_tests.kube.loopback import Loopback, Seen, Wire


def test_a_stream_gives_lines_as_they_come(tmp_path: Path) -> None:
    async def answering(seen: Seen, wire: Wire) -> None:
        await wire.begin()
        for chunk in (b"on", b"e\ntwo\n\nth", b"ree\n", b""):
            await wire.chunk(chunk)

    async def said(carrier: Transport, server: Loopback) -> Any:
        server.answering = answering
        async with opened(carrier) as stream:
            return stream.status, [line async for line in stream]

    assert talk(tmp_path, said) == (200, [b"one", b"two", b"", b"three"])


def test_a_stream_that_is_refused_says_why(tmp_path: Path) -> None:
    async def said(carrier: Transport, server: Loopback) -> Any:
        server.answering = lambda seen, wire: wire.answer(410, b'{"reason":"Expired"}', Retry_After="3")
        async with opened(carrier) as stream:
            return stream.status, stream.body, stream.headers["retry-after"], [line async for line in stream]

    assert talk(tmp_path, said) == (410, b'{"reason":"Expired"}', "3", [])


async def broken(carrier: Transport, silence: float = 5.0) -> Unavailable:
    async with opened(carrier, silence) as stream:
        try:
            async for _ in stream:
                pass
        except Unavailable as error:
            return error
    raise AssertionError("it ended as if nothing were wrong")


def test_a_silent_stream_is_noticed(tmp_path: Path) -> None:
    async def said(carrier: Transport, server: Loopback) -> Unavailable:
        server.answering = watching
        return await broken(carrier, 0.3)

    assert isinstance(talk(tmp_path, said), TimedOut)


def test_a_stream_cut_within_a_line_is_unavailable(tmp_path: Path) -> None:
    async def answering(seen: Seen, wire: Wire) -> None:
        await wire.begin()
        await wire.chunk(b"whole\nhal")
        wire.cut()

    async def said(carrier: Transport, server: Loopback) -> Unavailable:
        server.answering = answering
        return await broken(carrier)

    assert not isinstance(talk(tmp_path, said), TimedOut)


def test_a_line_without_an_end_is_given_up(tmp_path: Path) -> None:
    async def answering(seen: Seen, wire: Wire) -> None:
        await wire.begin()
        while True:
            await wire.chunk(b"x" * 2**20)

    async def said(carrier: Transport, server: Loopback) -> str:
        server.answering = answering
        return str(await broken(carrier))

    assert f"longer than {lines.LONGEST}" in talk(tmp_path, said)


def test_a_refused_call_leaves_a_running_stream_alone(tmp_path: Path) -> None:
    """What kr8s does by itself on 401 and 403 ends every stream."""
    more = asyncio.Event()

    async def answering(seen: Seen, wire: Wire) -> None:
        if "watch" not in seen.target:
            await wire.answer(int(seen.target.rpartition("/")[2]))
            return
        await wire.begin()
        await wire.chunk(b"before\n")
        await more.wait()
        await wire.chunk(b"after\n")

    async def said(carrier: Transport, server: Loopback) -> Any:
        server.answering = answering
        async with opened(carrier) as stream:
            found = aiter(stream)
            heard = [await anext(found)]
            statuses = [(await carrier.request("GET", f"/api/v1/{code}", deadline=5)).status for code in (403, 401, 500, 429)]
            more.set()
            return statuses, [*heard, await anext(found)], len(server.seen)

    assert talk(tmp_path, said) == ([403, 401, 500, 429], [b"before", b"after"], 5)


async def only(token: str, seen: Seen, wire: Wire) -> None:
    if seen.headers.get("authorization") != f"Bearer {token}":
        await wire.answer(401)
    else:
        await watching(seen, wire)


def test_a_refused_token_is_read_anew_and_the_request_tried_again_while_streams_run_on(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t1")

    async def said(carrier: Transport, server: Loopback) -> Any:
        server.answering = lambda seen, wire: only("t1", seen, wire)
        async with heard_first(carrier):
            token.write_text("t2")
            server.answering = lambda seen, wire: only("t2", seen, wire)
            statuses = await asyncio.gather(*(get(carrier) for _ in range(10)))
            async with heard_first(carrier):
                return set(statuses), [seen.connection for seen in server.seen if "watch" in seen.target], server.open

    statuses, watches, still_open = talk(tmp_path, said, user={"tokenFile": str(token)})
    assert statuses == {200}
    assert len(set(watches)) == 2
    assert still_open >= 3


def test_the_old_connections_are_closed_when_the_last_stream_on_them_has_ended(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t1")

    async def said(carrier: Transport, server: Loopback) -> None:
        server.answering = lambda seen, wire: only(token.read_text(), seen, wire)
        await get(carrier)
        async with heard_first(carrier):
            token.write_text("t2")
            await get(carrier)
            assert server.open == 3
        async with asyncio.timeout(5):
            await until(lambda: server.open == 1)

    talk(tmp_path, said, user={"tokenFile": str(token)})


def test_a_stream_that_is_refused_for_its_token_is_opened_again_with_a_new_one(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t1")

    async def said(carrier: Transport, server: Loopback) -> Any:
        token.write_text("t2")
        server.answering = lambda seen, wire: only("t2", seen, wire)
        async with opened(carrier) as stream:
            return stream.status, await anext(aiter(stream))

    assert talk(tmp_path, said, user={"tokenFile": str(token)}) == (200, b'{"type":"first"}')


def test_a_token_that_changed_is_used_before_the_old_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LOOK_AGAIN", 0.0)
    token = tmp_path / "token"
    token.write_text("t1")

    async def said(carrier: Transport, server: Loopback) -> list[str]:
        await get(carrier)
        token.write_text("t2")
        await get(carrier)
        token.unlink()
        await get(carrier)
        return [seen.headers["authorization"] for seen in server.seen]

    assert talk(tmp_path, said, user={"tokenFile": str(token)}) == ["Bearer t1", "Bearer t2", "Bearer t2"]


def test_a_token_that_stays_refused_is_answered_as_refused_without_reading_it_again_and_again(tmp_path: Path) -> None:
    runs, plugin = tmp_path / "runs", tmp_path / "plugin"
    plugin.write_text(f"#!{sys.executable}\nopen({str(runs)!r}, 'a').write('x')\nprint('{{\"status\": {{\"token\": \"same\"}}}}')\n")
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)

    async def said(carrier: Transport, server: Loopback) -> Any:
        server.answering = lambda seen, wire: wire.answer(401)
        statuses = [await get(carrier) for _ in range(20)]
        statuses += await asyncio.gather(*(get(carrier) for _ in range(20)))
        return set(statuses), len(server.seen)

    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}}
    assert talk(tmp_path, said, user=user) == ({401}, 40)
    assert len(runs.read_text()) <= 4
