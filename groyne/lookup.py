"""A name → the addresses that may be dialled, or the reason why none: what the resolver answers, without sockets.

Names given by `--resolve` have exactly their addresses, private or not. Any other name is asked of the system, so that /etc/hosts and
split DNS hold as they do for everybody else; if one address of what comes back is not public, the whole answer is refused,
because a client may pick any of them. Answers are kept for a moment, so that A and AAAA are one look-up; at most so many names, so many
look-ups at once, so many seconds each: the system's resolver cannot be cancelled, only left behind.
"""

import asyncio
import re
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from groyne.addresses import judge_address
from groyne.dns_wire import Rcode

DEADLINE = 5.0
MAX_TTL = 30.0
# Refusals and failures are asked about again soon: somebody is mending them.
NEGATIVE_TTL = 2.0
MAX_CACHED = 1000
MAX_LOOKUPS = 32
MAX_ADDRESSES = 64

SystemLookup = Callable[[str], list[str]]
OnRefused = Callable[[str, str], None]
_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """`expires` is a moment of the event loop's clock. `refused` is the address because of which everything is refused."""

    rcode: Rcode = Rcode.NOERROR
    addresses: tuple[str, ...] = ()
    expires: float = 0.0
    refused: str = ""

    def ttl(self, now: float) -> int:
        return max(0, int(self.expires - now))


def ask_system(host: str) -> list[str]:
    """Blocks. As bytes, the name is taken as it is: no second opinion on internationalised names."""
    found = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Names:
    """Looks names up. `on_refused` is told host and address each time a refused name is asked for."""

    def __init__(self, *, static: Mapping[str, tuple[str, ...]], on_refused: OnRefused, system: SystemLookup = ask_system) -> None:
        self._static = {_canonical(host): addresses for host, addresses in static.items()}
        self._on_refused = on_refused
        self._system = system
        self._cache: OrderedDict[str, Found] = OrderedDict()
        self._pending: dict[str, asyncio.Future[Found]] = {}
        self._threads = 0

    async def find(self, host: str) -> Found:
        if host in self._static:
            return Found(addresses=self._static[host])
        if _NUMBER.match(host):
            return Found(rcode=Rcode.NXDOMAIN)
        found = self._cached(host) or await self._shared(host)
        if found.refused:
            self._on_refused(host, found.refused)
        return found

    def statistics(self) -> Mapping[str, int]:
        return {"cached": len(self._cache), "pending": len(self._pending), "threads": self._threads}

    def _cached(self, host: str) -> Found | None:
        found = self._cache.get(host)
        return found if found and found.expires > asyncio.get_running_loop().time() else None

    async def _shared(self, host: str) -> Found:
        """One look-up however many ask; who stops waiting does not stop it."""
        pending = self._pending.get(host)
        if pending is None:
            if self._threads >= MAX_LOOKUPS:
                return Found(rcode=Rcode.SERVFAIL)
            pending = self._started(host)
        try:
            async with asyncio.timeout(DEADLINE):
                return await asyncio.shield(pending)
        except TimeoutError:
            return self._kept(host, Found(rcode=Rcode.SERVFAIL))

    def _started(self, host: str) -> asyncio.Future[Found]:
        # Not an executor: its threads are waited for when the program ends, however long the system's resolver takes.
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Found] = loop.create_future()
        self._pending[host] = future
        self._threads += 1

        def look() -> None:
            found = self._look_up(host)
            try:
                loop.call_soon_threadsafe(self._finished, host, future, found)
            except RuntimeError:  # the loop has ended in the meantime, nobody is waiting
                return

        threading.Thread(target=look, name=f"look up {host}", daemon=True).start()
        return future

    def _finished(self, host: str, future: asyncio.Future[Found], found: Found) -> None:
        self._threads -= 1
        self._pending.pop(host, None)
        kept = self._kept(host, found)
        if not future.done():
            future.set_result(kept)

    def _look_up(self, host: str) -> Found:
        try:
            addresses = self._system(host)
        except socket.gaierror as error:
            nobody = error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
            return Found(rcode=Rcode.NXDOMAIN if nobody else Rcode.SERVFAIL)
        except (OSError, ValueError):
            return Found(rcode=Rcode.SERVFAIL)
        refused = next((address for address in addresses if judge_address(address)), "")
        if refused or not addresses:
            return Found(rcode=Rcode.REFUSED if refused else Rcode.NXDOMAIN, refused=refused)
        return Found(addresses=tuple(addresses[:MAX_ADDRESSES]))

    def _kept(self, host: str, found: Found) -> Found:
        lifetime = MAX_TTL if found.rcode is Rcode.NOERROR else NEGATIVE_TTL
        now = asyncio.get_running_loop().time()
        kept = Found(rcode=found.rcode, addresses=found.addresses, refused=found.refused, expires=now + lifetime)
        self._cache[host] = kept
        self._cache.move_to_end(host)
        while len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
        return kept


def _canonical(host: str) -> str:
    return host.lower().removesuffix(".")
