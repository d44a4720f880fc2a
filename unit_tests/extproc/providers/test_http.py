"""The HTTP provider against a real HTTPS server on the loopback address that is slow, lies, drips, redirects and swears.

Real sockets know no virtual time: what has to run out here runs out within a fraction of a second.
"""

import asyncio
import datetime as dt
import json
import logging
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from extproc.providers import http
from extproc.providers.http import HttpProvider
from extproc.providers.opening import KINDS, Means, open_provider
from extproc.providers.seam import ALIYUN_STS, Failure, ProviderError, ProviderRequest
from unit_tests.extproc.providers.asks import ASK, KEY, TOKEN, Counted, ask
from unit_tests.kube.loopback import Loopback, Seen, Wire

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
Talk = Callable[[HttpProvider, Loopback, Counted], Awaitable[Any]]
GOOD = json.dumps({"apiKey": KEY}).encode()


def talk(place: Path, said: Talk, *, answering: Any = None, timeout: float = 5.0) -> Any:
    async def talking() -> Any:
        observer = Counted()
        async with Loopback(place).serving() as server:
            server.answering = answering or (lambda seen, wire: wire.answer(body=GOOD))
            async with provider(server, observer, timeout) as asked, asyncio.timeout(20):
                return await said(asked, server, observer)

    return asyncio.run(talking())


@asynccontextmanager
async def provider(server: Loopback, observer: Counted, most: float) -> AsyncIterator[HttpProvider]:
    context = client_context(server)
    async with HttpProvider(server.url + "/keys?x=1", tls=lambda: context, wall_clock=lambda: NOW, observer=observer, timeout=most) as made:
        yield made


def client_context(server: Loopback) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(server.ca))
    context.load_cert_chain(*server.client_files)
    return context


async def failing(asked: HttpProvider, question: ProviderRequest = ASK) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await asked.fetch(question, deadline=5)
    return caught.value


async def became(asked: HttpProvider) -> Failure | None:
    """Of one question; None: the key came."""
    try:
        answer = await asked.fetch(ASK, deadline=5)
    except ProviderError as error:
        return error.reason
    assert answer.values == {"apiKey": KEY}
    return None


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 — the server tells nobody
        await asyncio.sleep(0.01)


def answered(place: Path, *, status: int = 200, body: bytes = GOOD, **headers: str) -> Failure | None:
    """What became of one question that is answered like this; None: the key came."""

    async def said(asked: HttpProvider, server: Loopback, observer: Counted) -> Failure | None:
        failure = await became(asked)
        assert observer.outcomes == {failure or "ok": 1}
        assert len(server.seen) == 1, "what was heard is not asked again"
        return failure

    failure: Failure | None = talk(place, said, answering=lambda seen, wire: wire.answer(status, body, **headers))
    return failure


def seen_asking(place: Path, question: ProviderRequest) -> Seen:
    async def said(asked: HttpProvider, server: Loopback, observer: Counted) -> Seen:
        await asked.fetch(question, deadline=5)
        return server.seen[0]

    body = json.dumps(dict.fromkeys((*ALIYUN_STS, "apiKey"), "v")).encode()
    seen: Seen = talk(place, said, answering=lambda seen, wire: wire.answer(body=body))
    return seen


def test_the_question_is_a_post_with_the_sandboxs_token_and_our_certificate(tmp_path: Path) -> None:
    seen = seen_asking(tmp_path, ASK)
    assert (seen.method, seen.target, seen.client) == ("POST", "/keys?x=1", "client")
    assert seen.headers["authorization"] == f"Bearer {TOKEN}"
    assert seen.headers["x-api-action-name"] == "GetResourceApiKey"
    assert seen.headers["content-type"] == "application/json"
    assert json.loads(seen.body) == {"resourceId": "client-1", "credentialProviderName": "openai"}


def test_parameters_travel_as_extra_metadata(tmp_path: Path) -> None:
    parameters = {"scope": ["a", 1, None], "text": "ü"}
    assert json.loads(seen_asking(tmp_path, ask(parameters=parameters)).body)["extraMetadata"] == parameters


def test_the_three_values_of_aliyun_are_asked_for_in_the_same_way(tmp_path: Path) -> None:
    assert "extraMetadata" not in json.loads(seen_asking(tmp_path, ask(keys=ALIYUN_STS)).body)


def test_status_200_with_a_key_is_an_answer(tmp_path: Path) -> None:
    assert answered(tmp_path) is None


@pytest.mark.parametrize("status", [201, 202, 204, 206, 299, 301, 302, 307, 308, 400, 401, 403, 404, 429, 500, 503])
def test_every_other_status_is_none_and_redirects_are_not_followed(tmp_path: Path, status: int) -> None:
    assert answered(tmp_path, status=status, body=b"" if status == 204 else GOOD, location="https://127.0.0.1:1/") is Failure.STATUS


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"apiKey": ""}', b'{"apiKey": 1}'])
def test_a_body_that_is_no_answer_is_invalid(tmp_path: Path, body: bytes) -> None:
    assert answered(tmp_path, body=body) is Failure.INVALID


def test_a_body_beyond_64_kib_is_refused_and_one_of_64_kib_is_read(tmp_path: Path) -> None:
    assert answered(tmp_path, body=GOOD + b" " * (http.LONGEST_ANSWER - len(GOOD))) is None
    assert answered(tmp_path, body=GOOD + b" " * (http.LONGEST_ANSWER - len(GOOD) + 1)) is Failure.TOO_LARGE


def test_an_endless_body_is_left_after_64_kib(tmp_path: Path) -> None:
    async def pour(seen: Seen, wire: Wire) -> None:
        await wire.begin()
        while True:
            await wire.chunk(b" " * 8192)

    async def said(asked: HttpProvider, server: Loopback, observer: Counted) -> None:
        assert (await failing(asked)).reason is Failure.TOO_LARGE

    talk(tmp_path, said, answering=pour)


def test_a_compressed_answer_was_not_asked_for(tmp_path: Path) -> None:
    assert answered(tmp_path, content_encoding="gzip") is Failure.INVALID


def test_a_provider_that_is_silent_costs_the_timeout_and_no_more(tmp_path: Path) -> None:
    async def said(asked: HttpProvider, server: Loopback, observer: Counted) -> None:
        began = asyncio.get_running_loop().time()
        assert (await failing(asked)).reason is Failure.TIMEOUT
        assert 0.3 <= asyncio.get_running_loop().time() - began < 2
        assert len(server.seen) == 1, "a question that was heard is not asked again"

    talk(tmp_path, said, answering=lambda seen, wire: asyncio.sleep(30), timeout=0.3)


def test_the_callers_deadline_counts_where_it_is_shorter(tmp_path: Path) -> None:
    async def said(asked: HttpProvider, server: Loopback, observer: Counted) -> None:
        with pytest.raises(ProviderError) as caught:
            await asked.fetch(ASK, deadline=0.2)
        assert caught.value.reason is Failure.TIMEOUT

    talk(tmp_path, said, answering=lambda seen, wire: asyncio.sleep(30))


def test_an_answer_in_drips_does_not_buy_more_time(tmp_path: Path) -> None:
    async def drip(seen: Seen, wire: Wire) -> None:
        await wire.begin()
        while True:
            await wire.chunk(b" ")
            await asyncio.sleep(0.02)

    async def said(asked: HttpProvider, server: Loopback, observer: Counted) -> None:
        assert (await failing(asked)).reason is Failure.TIMEOUT

    talk(tmp_path, said, answering=drip, timeout=0.3)


def test_a_connection_cut_under_the_question_is_not_tried_again(tmp_path: Path) -> None:
    async def cut(seen: Seen, wire: Wire) -> None:
        wire.cut()

    async def said(asked: HttpProvider, server: Loopback, observer: Counted) -> None:
        assert (await failing(asked)).reason is Failure.UNREACHABLE
        assert len(server.seen) == 1

    talk(tmp_path, said, answering=cut)


@asynccontextmanager
async def refusing(times: int) -> AsyncIterator[tuple[int, list[int]]]:
    """A port where TLS breaks off `times` times; the attempts that were made."""
    attempts: list[int] = []

    async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        attempts.append(1)
        writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], attempts
    finally:
        server.close()


def test_a_connection_that_cannot_be_made_is_tried_once_more_and_not_twice() -> None:
    async def asking() -> None:
        context, observer = ssl.create_default_context(), Counted()
        async with (
            refusing(9) as (port, attempts),
            HttpProvider(f"https://127.0.0.1:{port}/", tls=lambda: context, wall_clock=lambda: NOW, observer=observer) as asked,
        ):
            assert (await failing(asked)).reason is Failure.UNREACHABLE
            assert len(attempts) == 2
            assert observer.outcomes == {"unreachable": 1}

    asyncio.run(asking())


def test_the_second_attempt_may_be_the_one_that_works(tmp_path: Path) -> None:
    """As when the provider is just being started again."""

    async def said(asked: HttpProvider, server: Loopback, observer: Counted) -> None:
        good = client_context(server)
        contexts = iter([ssl.create_default_context(), good, good])
        asked._tls = lambda: next(contexts)
        assert (await asked.fetch(ASK, deadline=5)).values == {"apiKey": KEY}
        assert observer.outcomes == {"ok": 1}

    talk(tmp_path, said)


def test_a_server_whose_certificate_is_not_to_be_trusted_hears_nothing(tmp_path: Path) -> None:
    async def said(asked: HttpProvider, server: Loopback, observer: Counted) -> None:
        stranger = ssl.create_default_context()
        asked._tls = lambda: stranger
        assert (await failing(asked)).reason is Failure.UNREACHABLE
        assert server.seen == []

    talk(tmp_path, said)


def test_new_certificates_are_used_for_the_next_question_while_one_under_way_goes_on(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def wait_once(seen: Seen, wire: Wire) -> None:
        if seen.headers["authorization"] == "Bearer slow":
            await release.wait()
        await wire.answer(body=GOOD)

    async def said(asked: HttpProvider, server: Loopback, observer: Counted) -> None:
        async with asyncio.TaskGroup() as group:
            slow = group.create_task(asked.fetch(ask(access_token="slow"), deadline=5))
            await until(lambda: len(server.seen) == 1)
            other = client_context(server)
            asked._tls = lambda: other
            await asked.fetch(ASK, deadline=5)
            assert [seen.connection for seen in server.seen] == [1, 2]
            release.set()
            assert (await slow).values == {"apiKey": KEY}
        await until(lambda: server.open == 1)

    talk(tmp_path, said, answering=wait_once)


def test_questions_one_after_the_other_share_a_connection(tmp_path: Path) -> None:
    async def said(asked: HttpProvider, server: Loopback, observer: Counted) -> None:
        for _ in range(3):
            await asked.fetch(ASK, deadline=5)
        assert {seen.connection for seen in server.seen} == {1}

    talk(tmp_path, said)


def test_no_more_connections_are_open_than_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "CONNECTIONS", 3)

    async def slowly(seen: Seen, wire: Wire) -> None:
        await asyncio.sleep(0.02)
        await wire.answer(body=GOOD)

    async def said(asked: HttpProvider, server: Loopback, observer: Counted) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(12):
                group.create_task(asked.fetch(ASK, deadline=5))
        assert observer.outcomes == {"ok": 12}
        assert {seen.connection for seen in server.seen} <= {1, 2, 3}

    talk(tmp_path, said, answering=slowly)


@pytest.mark.parametrize("token", ["", "a b", "a\r\nx: y", "ü", "a\x00", "x" * 20_000])
def test_a_token_that_no_header_can_hold_goes_nowhere(tmp_path: Path, token: str) -> None:
    async def said(asked: HttpProvider, server: Loopback, observer: Counted) -> None:
        assert (await failing(asked, ask(access_token=token))).reason is Failure.QUESTION
        assert server.seen == []

    talk(tmp_path, said)


@pytest.mark.parametrize("value", [float("nan"), object(), b"x", "x" * 300_000])
def test_a_parameter_that_json_cannot_say_goes_nowhere(tmp_path: Path, value: Any) -> None:
    async def said(asked: HttpProvider, server: Loopback, observer: Counted) -> None:
        assert (await failing(asked, ask(parameters={"p": value}))).reason is Failure.QUESTION
        assert server.seen == []

    talk(tmp_path, said)


SWEARING = [
    (500, {"x_debug": KEY}, f'{{"error": "{KEY} {TOKEN}"}}'.encode()),
    (302, {"location": f"https://evil.test/?key={KEY}"}, KEY.encode()),
    (200, {}, f'{{"apiKey": ["{KEY}"]}}'.encode()),
    (200, {}, KEY.encode()),
    (200, {}, f'{{"apiKey": "{KEY}\\r\\nx: y"}}'.encode()),
    (200, {"set_cookie": KEY}, GOOD),
]


@pytest.mark.parametrize(("status", "headers", "body"), SWEARING)
def test_no_word_of_what_was_said_or_told_gets_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int, headers: dict[str, str], body: bytes
) -> None:
    """Not in a log at any level, not in an error, its causes or its traceback."""
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []

    async def said(asked: HttpProvider, server: Loopback, observer: Counted) -> None:
        try:
            shown.append(repr(await asked.fetch(ASK, deadline=5)))
        except ProviderError as error:
            shown.append(repr(error.__context__) + str(error) + repr(error) + "".join(traceback.format_exception(error)))

    talk(tmp_path, said, answering=lambda seen, wire: wire.answer(status, body, **headers))
    everything = caplog.text + "".join(shown) + repr(ASK)
    assert KEY not in everything
    assert TOKEN not in everything


def test_headers_that_never_end_are_no_answer(tmp_path: Path) -> None:
    async def endless(seen: Seen, wire: Wire) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await wire.send(b"x: " + b"y" * 8192 + b"\r\n")

    async def said(asked: HttpProvider, server: Loopback, observer: Counted) -> None:
        assert (await failing(asked)).reason is Failure.UNREACHABLE

    talk(tmp_path, said, answering=endless)


def test_a_caller_who_leaves_is_counted_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async def said(asked: HttpProvider, server: Loopback, observer: Counted) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await asked.fetch(ASK, deadline=5)
        assert observer.outcomes == {"closed": 1}
        server.answering = lambda seen, wire: wire.answer(body=GOOD)
        assert (await asked.fetch(ASK, deadline=5)).values == {"apiKey": KEY}

    talk(tmp_path, said, answering=lambda seen, wire: asyncio.sleep(30))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://keys.test/",
        "keys.test",
        "https:///x",
        "https://user:password@keys.test/",
        "https://keys.test/#x",
        "http://keys.test/",
        "http://10.0.0.1/",
        "http://127.0.0.1.evil.test/",
        "https://keys.test:evil/",
        "https://keys.test:0/",
        "https://keys.test:99999/",
        "https://keys.test/a b",
        "https://keys.tést/",
        "https://keys.test/\r\nx:y",
    ],
)
def test_a_url_that_is_none_or_would_betray_a_token_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="URL") as caught:
        open_provider(url, Means(wall_clock=lambda: NOW, observer=Counted()))
    assert "password" not in str(caught.value) or "user:password" not in str(caught.value)
    assert "evil" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://keys.test/a?b=c", "http://127.0.0.1:8080/", "http://[::1]/", "http://localhost"])
def test_https_and_http_to_this_machine_are_opened(url: str) -> None:
    assert isinstance(open_provider(url, Means(wall_clock=lambda: NOW, observer=Counted())), HttpProvider)


def test_http_to_another_machine_takes_the_operators_word() -> None:
    assert isinstance(open_provider("http://keys.test/", Means(wall_clock=lambda: NOW, observer=Counted(), plaintext=True)), HttpProvider)


def test_every_kind_that_is_listed_opens() -> None:
    for scheme in KINDS:
        open_provider(f"{scheme}://127.0.0.1/", Means(wall_clock=lambda: NOW, observer=Counted()))
