"""The transport that was chosen, behind one form: it starts, says where it listens, and drains."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from extproc.edge.asgi import Application
from extproc.edge.driver import Desk
from extproc.edge.grpcio_server import GrpcioServer
from extproc.edge.h2corn_server import H2cornServer
from mtls.callers import Callers
from mtls.identity import IdentityError
from mtls.keeper import Keeper
from mtls.spiffe import Peers


class Listening(Protocol):
    async def run(self) -> None:
        """Until `stop`, and until what was open then has ended or had its time. Raises OSError where it cannot listen."""

    async def started(self) -> None:
        """Until it listens."""

    def stop(self) -> None:
        """No new streams."""

    async def ended(self) -> None:
        """Until what was open at `stop` has ended."""

    def not_ready(self) -> str | None:
        """Why it is not what it should be, while it listens. May be asked by any thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secured:
    """Clients show certificates, and these may speak."""

    keeper: Keeper
    peers: Peers


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`bind` is `host:port` or `unix:path`; `metadata`: what the stream's metadata says of its identity counts; `drain` in seconds."""

    bind: str
    drain: float
    metadata: bool = False
    shared: bool = False
    secured: Secured | None = None


def h2corn(desk: Desk, place: Place) -> Listening:
    callers = Callers(place.secured.keeper, place.secured.peers) if place.secured else None
    application = Application(desk, metadata=place.metadata, admit=admitting(callers) if callers else None)
    keeper = place.secured.keeper if place.secured else None
    return H2cornServer(application, bind=place.bind, drain=place.drain, keeper=keeper, shared=place.shared)


def grpcio(desk: Desk, place: Place) -> Listening:
    keeper, peers = (place.secured.keeper, place.secured.peers) if place.secured else (None, None)
    return GrpcioServer(desk, bind=place.bind, drain=place.drain, metadata=place.metadata, keeper=keeper, peers=peers)


TRANSPORTS: dict[str, Callable[[Desk, Place], Listening]] = {"h2corn": h2corn, "grpcio": grpcio}


def admitting(callers: Callers) -> Callable[[str], str | None]:
    def admit(pem: str) -> str | None:
        try:
            return str(callers.identify(pem.encode()))
        except IdentityError:
            return None

    return admit
