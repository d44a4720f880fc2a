"""The provider of examples/, as its README starts it: a process of its own, certificates on both sides; ext-proc's client against it."""

import asyncio
import datetime as dt
import json
import re
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from extproc.providers.cache import CachedProvider
from extproc.providers.http import Address, HttpProvider
from extproc.providers.seam import ALIYUN_STS, Failure, ProviderError, ProviderRequest
from unit_tests.extproc.providers.asks import Counted, ask

PLACE = Path(__file__).parents[3] / "examples" / "provider"
BOOK = json.loads((PLACE / "book.json").read_text())
README = (PLACE / "README.md").read_text()
SANDBOX = ask(access_token="demo-access-token-of-sandbox-1", resource_id="sandbox-1")
Talk = Callable[[HttpProvider, Counted], Awaitable[Any]]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made as the README says."""
    place = tmp_path_factory.mktemp("certificates")
    subprocess.run([str(PLACE / "certificates.sh")], cwd=place, check=True, capture_output=True)
    return place


class Running:
    def __init__(self, certificates: Path, book: Path, out: Path) -> None:
        files = {"cert": "provider.crt", "key": "provider.key", "client-ca": "ca.crt"}
        flags = [part for flag, name in files.items() for part in (f"--{flag}", str(certificates / name))]
        self._out = out
        command = [sys.executable, str(PLACE / "provider.py"), "--book", str(book), "--listen", "127.0.0.1:0", *flags]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=out.open("w"), text=True)
        assert self.process.stdout
        self.url = "https://" + self.process.stdout.readline().split()[-1]

    def log(self) -> str:
        """What it wrote, from the beginning to its end."""
        self.process.terminate()
        said, _ = self.process.communicate(timeout=10)
        return said + self._out.read_text()


@pytest.fixture
def running(certificates: Path, tmp_path: Path) -> Iterator[Running]:
    book = tmp_path / "book.json"
    book.write_text(json.dumps(BOOK))
    server = Running(certificates, book, tmp_path / "stderr")
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def client_tls(certificates: Path, *, with_certificate: bool = True) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
    if with_certificate:
        context.load_cert_chain(certificates / "extproc.crt", certificates / "extproc.key")
    return context


def talk(url: str, tls: ssl.SSLContext, said: Talk) -> Any:
    async def talking() -> Any:
        observer = Counted()
        clock = lambda: dt.datetime(2026, 1, 1, tzinfo=dt.UTC)  # noqa: E731
        async with HttpProvider(url, tls=lambda: tls, wall_clock=clock, observer=observer) as provider, asyncio.timeout(30):
            return await said(provider, observer)

    return asyncio.run(talking())


async def outcome(provider: HttpProvider, question: ProviderRequest) -> Any:
    try:
        return (await provider.fetch(question, deadline=5)).values
    except ProviderError as error:
        return error.reason


def test_a_sandbox_gets_what_the_book_grants_it_and_nothing_else(running: Running, certificates: Path) -> None:
    async def said(provider: HttpProvider, observer: Counted) -> None:
        aliyun = {key: BOOK["credentials"]["aliyun-readonly"][key] for key in ALIYUN_STS}
        assert await outcome(provider, SANDBOX) == {"apiKey": "sk-demo-real-key"}
        assert await outcome(provider, asked(provider="aliyun-readonly", keys=ALIYUN_STS)) == aliyun
        assert await outcome(provider, asked(provider="aliyun-readonly")) is Failure.INVALID
        assert await outcome(provider, asked(provider="vault")) is Failure.STATUS
        assert await outcome(provider, asked(resource_id="sandbox-2")) is Failure.STATUS
        assert await outcome(provider, asked(access_token="demo-access-token-of-sandbox-2")) is Failure.STATUS
        assert await outcome(provider, asked(access_token="guessed")) is Failure.STATUS

    talk(running.url, client_tls(certificates), said)
    log = running.log()
    assert "200 sandbox-1 openai" in log
    assert not [secret for secret in secrets() if secret in log]


def asked(**changes: Any) -> ProviderRequest:
    return ask(**{"access_token": SANDBOX.access_token, "resource_id": SANDBOX.resource_id, **changes})


def secrets() -> list[str]:
    keys = [value for credential in BOOK["credentials"].values() for value in credential.values() if isinstance(value, str)]
    return [*BOOK["sandboxes"], *(key for key in keys if "secret" in key or key.startswith("sk-"))]


def test_the_end_that_it_names_is_heeded(running: Running, certificates: Path) -> None:
    async def said(provider: HttpProvider, observer: Counted) -> float:
        began = asyncio.get_running_loop().time()
        answer = await provider.fetch(SANDBOX, deadline=5)
        assert answer.expires_at
        return answer.expires_at - began

    assert 3600 <= talk(running.url, client_tls(certificates), said) < 3610


def test_without_a_client_certificate_there_is_no_connection(running: Running, certificates: Path) -> None:
    async def said(provider: HttpProvider, observer: Counted) -> Any:
        return await outcome(provider, SANDBOX)

    assert talk(running.url, client_tls(certificates, with_certificate=False), said) is Failure.UNREACHABLE
    assert "200" not in running.log()


def test_a_hundred_callers_at_once_make_one_call(running: Running, certificates: Path) -> None:
    async def said(provider: HttpProvider, observer: Counted) -> None:
        async with CachedProvider(provider, observer=observer) as cache:
            answers = await asyncio.gather(*(cache.fetch(SANDBOX, deadline=5) for _ in range(100)))
        assert len({answer.values["apiKey"] for answer in answers}) == 1
        assert (observer.outcomes, observer.lookups) == ({"ok": 1}, {"miss": 1, "shared": 99})

    talk(running.url, client_tls(certificates), said)
    assert running.log().count("200 sandbox-1 openai") == 1


def test_after_its_death_it_is_missed_and_after_its_return_found_again(running: Running, certificates: Path, tmp_path: Path) -> None:
    async def said(provider: HttpProvider, observer: Counted) -> None:
        assert await outcome(provider, SANDBOX) == {"apiKey": "sk-demo-real-key"}
        running.process.kill()
        running.process.wait()
        assert await outcome(provider, SANDBOX) is Failure.UNREACHABLE
        again = await asyncio.to_thread(Running, certificates, PLACE / "book.json", tmp_path / "again")
        try:
            provider._address, provider._line = Address.of(again.url), None
            assert await outcome(provider, SANDBOX) == {"apiKey": "sk-demo-real-key"}
        finally:
            again.process.kill()
            again.process.wait()

    talk(running.url, client_tls(certificates), said)


@pytest.mark.parametrize("flags", [["--listen", "0.0.0.0:0"], ["--cert", "x"], ["--key", "x", "--client-ca", "y"]])
def test_it_does_not_start_with_half_of_the_certificates_or_in_the_clear_for_others(flags: list[str]) -> None:
    command = [sys.executable, str(PLACE / "provider.py"), "--book", str(PLACE / "book.json"), *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert "certificates" in done.stderr or "all three or none" in done.stderr


def test_the_readmes_commands_do_what_it_says(certificates: Path, tmp_path: Path) -> None:
    """As they stand, on a port of their own."""
    provider, curl = re.search(r"^(python provider.py .*)\n(curl (?:.*\\\n)+.*)$", README, re.MULTILINE).groups()  # type: ignore[union-attr]
    server = subprocess.Popen(
        [
            "sh",
            "-c",
            provider.replace("python", f"exec {sys.executable}", 1)
            .replace("provider.py", str(PLACE / "provider.py"))
            .replace("book.json", str(PLACE / "book.json"))
            .replace("8443", "0"),
        ],
        cwd=certificates,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout
        port = server.stdout.readline().rpartition(":")[2].strip()
        done = subprocess.run(
            ["sh", "-c", curl.replace("8443", port)], cwd=certificates, capture_output=True, text=True, check=True, timeout=20
        )
    finally:
        server.kill()
        server.wait()
    assert json.loads(done.stdout) == BOOK["credentials"]["openai"]
