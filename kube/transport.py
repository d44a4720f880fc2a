"""Carries requests to the API server through kr8s, and is the one module that knows kr8s.

kr8s finds the server and the credentials (kubeconfig or service account) and sends; of it only `Api.call_api` is used, with
`raise_for_status=False`, because what it does on an error answer (new session, three more attempts) ends every watch that runs.
Calls and watches each have an Api and a connection pool of their own. When the credentials have changed a new pair takes over,
and the old one is closed when the last stream or call in it has ended. Every wait has a deadline, which kr8s has not.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any
from urllib.parse import urlsplit

import httpx
from kr8s.asyncio import Api

from kube.carrier import JSON, Answer, Stream
from kube.credentials import Read, complete, remove_copies
from kube.errors import ApiError, TimedOut, Unavailable
from kube.failures import where
from kube.lines import lines
from kube.session import Reply, Server, Session
from kube.wire import Place, Unreachable

log = logging.getLogger(__name__)
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
# Projected tokens live for an hour and are renewed after 80 % of it; files are looked at this often at most.
LOOK_AGAIN = 30.0
# A server that refuses a valid token is not asked to try a new one more often than this.
REFUSED_AGAIN = 1.0
# Calls beyond this wait for a free connection, within their deadline.
CALLS_AT_ONCE = 100
WATCHES_AT_ONCE = 10_000
# The API server itself closes what was idle for 90 s.
KEPT = 60.0
LONGEST_ERROR = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Where credentials are read from; `kubeconfig` may be a path, several joined by colons, or the file's content."""

    kubeconfig: str | dict[str, Any] | None
    context: str | None
    service_account: str
    user_agent: str


class _Api(Api):
    """kr8s' Api with a session of our own, which is never made anew under a running stream."""

    def open(self, verify: SSLContext, user_agent: str, *, most: int) -> None:
        # Compressing costs the server more than a cluster's network gains by it.
        headers = {"user-agent": user_agent, "accept-encoding": "identity"}
        if self.auth.token:
            headers["authorization"] = f"Bearer {self.auth.token}"
        session: Any = Session(server_of(self.auth, verify), headers, most=most, keep=KEPT)
        self._session = session

    async def _create_session(self) -> None:
        raise Unavailable("the session is closed")

    async def close(self) -> None:
        if self._session:
            await self._session.aclose()


class _Session:
    """Two Apis with the same credentials, and how many still use them."""

    def __init__(self, calls: _Api, watches: _Api, read: Read) -> None:
        self.calls = calls
        self.watches = watches
        self.read = read
        self._users = 0
        self._retired = False

    @asynccontextmanager
    async def used(self) -> AsyncIterator["_Session"]:
        self._users += 1
        try:
            yield self
        finally:
            self._users -= 1
            await self._close_if_left()

    async def retire(self) -> None:
        self._retired = True
        await self._close_if_left()

    async def _close_if_left(self) -> None:
        if self._retired and not self._users:
            await self.calls.close()
            await self.watches.close()


class Transport:
    """A `Carrier`. Made by `connect`, ended by `close`."""

    def __init__(self, login: Login, session: _Session) -> None:
        self._login = login
        self._session = session
        self._renewing = asyncio.Lock()
        self._looked_at = asyncio.get_running_loop().time()
        self._renewed_at = self._looked_at - REFUSED_AGAIN

    @classmethod
    async def connect(
        cls,
        *,
        kubeconfig: str | dict[str, Any] | None = None,
        context: str | None = None,
        service_account: str = SERVICE_ACCOUNT,
        user_agent: str = "kr8s",
    ) -> "Transport":
        """Reads the credentials; the server is not asked yet. ValueError where there are none."""
        login = Login(kubeconfig=kubeconfig, context=context, service_account=service_account, user_agent=user_agent)
        return cls(login, await _log_in(login))

    @property
    def namespace(self) -> str:
        return str(self._session.calls.namespace)

    @property
    def server(self) -> str:
        return str(self._session.calls.auth.server)

    async def close(self) -> None:
        await self._session.retire()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        deadline: float,
    ) -> Answer:
        headers = {"accept": accept} | ({"content-type": content_type} if body is not None else {})
        sent = {**_place(path), "method": method, "params": params or {}, "content": body, "headers": headers}
        with _translated(f"{method} {path}"):
            async with asyncio.timeout(deadline):
                await self._look_at_files()
                session, answer = await self._answer(sent)
                if answer.status == 401 and await self._renew(session):
                    _, answer = await self._answer(sent)
                return answer

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Mapping[str, str] | None = None, accept: str = JSON, open_deadline: float, silence: float
    ) -> AsyncIterator[Stream]:
        sent = {**_place(path), "method": "GET", "params": params or {}, "headers": {"accept": accept}, "stream": True}
        async with AsyncExitStack() as stack:
            with _translated(f"GET {path}"):
                async with asyncio.timeout(open_deadline):
                    await self._look_at_files()
                    response = await self._opened(stack, sent)
                    body = b"" if response.status_code == 200 else await _beginning(response)
            yield _Stream(response, body, silence)

    async def _answer(self, sent: Mapping[str, Any]) -> tuple[_Session, Answer]:
        async with self._session.used() as session, session.calls.call_api(raise_for_status=False, **sent) as response:
            return session, Answer(status=response.status_code, headers=response.headers, body=response.content)

    async def _opened(self, stack: AsyncExitStack, sent: Mapping[str, Any]) -> Any:
        """The answer's head; `stack` keeps it open. A refused token is read anew once."""
        for last in (False, True):
            async with AsyncExitStack() as attempt:
                session = await attempt.enter_async_context(self._session.used())
                response = await attempt.enter_async_context(session.watches.call_api(raise_for_status=False, **sent))
                if response.status_code != 401 or last or not await self._renew(session):
                    stack.push_async_exit(attempt.pop_all())
                    return response
        raise AssertionError  # the second round always returns

    async def _look_at_files(self) -> None:
        """Once in a while: has a file that credentials came from changed? Whoever asks meanwhile goes on with what there is."""
        now = asyncio.get_running_loop().time()
        if now - self._looked_at < LOOK_AGAIN or self._renewing.locked():
            return
        self._looked_at = now
        if self._session.read.stale:
            await self._renew(self._session)

    async def _renew(self, refused: _Session) -> bool:
        """Whether there are other credentials now than those of `refused`."""
        async with self._renewing:
            now = asyncio.get_running_loop().time()
            if self._session is not refused or now - self._renewed_at < REFUSED_AGAIN:
                return self._session is not refused
            self._renewed_at = self._looked_at = now
            try:
                fresh = await _log_in(self._login)
            except Exception as error:  # noqa: BLE001 — half-written files, a plug-in that fails: what there is stays; the text may hold a token
                log.warning("reading the credentials anew failed: %s", where(error))
                return False
            return await self._replaced(refused, fresh)

    async def _replaced(self, old: _Session, fresh: _Session) -> bool:
        changed = fresh.read.identity != old.read.identity
        if changed:
            self._session = fresh
        old.read = fresh.read
        await (old if changed else fresh).retire()
        return changed


class _Stream:
    def __init__(self, response: Reply, body: bytes, silence: float) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.body = body
        self._response = response
        self._silence = silence

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self.status != 200:
            return
        with _translated("reading a stream"):
            async with aclosing(lines(self._response.aiter_raw(), silence=self._silence)) as found:
                async for line in found:
                    yield line


async def _log_in(login: Login) -> _Session:
    settings = {"kubeconfig": login.kubeconfig, "context": login.context, "serviceaccount": login.service_account}
    calls, watches = _Api(bypass_factory=True, **settings), _Api(bypass_factory=True, **settings)
    auth: Any = calls.auth
    watches.auth = auth
    try:
        await auth.reauthenticate()
        read = complete(auth, login.service_account)
        found = await auth.ssl_context()
    finally:
        remove_copies(auth)
    verify = found if isinstance(found, SSLContext) else httpx.create_ssl_context(trust_env=False)
    verify.set_alpn_protocols(["http/1.1"])
    calls.open(verify, login.user_agent, most=CALLS_AT_ONCE)
    watches.open(verify, login.user_agent, most=WATCHES_AT_ONCE)
    return _Session(calls, watches, read)


def server_of(auth: Any, verify: SSLContext) -> Server:
    url = urlsplit(auth.server)
    tls = None if url.scheme == "http" else verify
    port = url.port or (443 if tls else 80)
    place = Place(host=url.hostname or "", port=port, tls=tls, name=auth.tls_server_name or "", proxy=auth.proxy or "")
    return Server(place=place, prefix=url.path.rstrip("/"))


def _place(path: str) -> dict[str, str]:
    """kr8s joins a URL from parts, and none of them may be empty at the front."""
    base, _, last = path.rpartition("/")
    return {"version": "", "base": base, "url": last} if base else {"version": "", "base": path, "url": ""}


async def _beginning(response: Reply) -> bytes:
    found = b""
    async for chunk in response.aiter_raw():
        found += chunk
        if len(found) > LONGEST_ERROR:
            break
    return found


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    """Only `TimedOut` and `Unavailable` leave. The text of an error may hold the header with the token: only some say theirs."""
    try:
        yield
    except ApiError:
        raise
    except TimeoutError:
        raise TimedOut(f"{doing}: no answer within the deadline") from None
    except Unreachable as error:
        raise Unavailable(f"{doing}: {error}") from None
    except Exception as error:  # noqa: BLE001 — whatever h11, asyncio and ssl raise, it is the connection that failed
        raise Unavailable(f"{doing}: {type(error).__name__}") from None
