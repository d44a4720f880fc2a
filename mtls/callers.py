"""Who calls, for servers that tell of a connection's certificate with each request: grpcio, or ASGI in the scope's `tls` extension.

In: the certificate in PEM, whose chain the server has verified. Out: its holder's id, or `IdentityError`. A certificate is read once, and
its time is looked at for each call, so one that ends while its connection lasts ends its calls.
"""

from collections import OrderedDict

from cryptography import x509

from mtls.identity import IdentityError, Purpose, Refusal, check_validity, parse_peer, verify
from mtls.keeper import Keeper, require_authorities
from mtls.spiffe import Peers, SpiffeId

REMEMBERED = 4096
"""Certificates of peers: one for each proxy, exchanged every hour or so."""


class Callers:
    def __init__(self, keeper: Keeper, peers: Peers) -> None:
        require_authorities(keeper)
        self._keeper = keeper
        self._peers = peers
        self._known: OrderedDict[bytes, tuple[x509.Certificate, SpiffeId]] = OrderedDict()

    def identify(self, pem: bytes | None) -> SpiffeId:
        """Raises IdentityError, after it has been counted and logged."""
        try:
            return self._identified(pem)
        except IdentityError as error:
            self._keeper.refused(error)
            raise

    def _identified(self, pem: bytes | None) -> SpiffeId:
        if not pem:
            raise IdentityError(Refusal.NO_CERTIFICATE, "it has shown no certificate")
        if known := self._known.get(pem):
            check_validity(known[0], self._keeper.now())
            self._known.move_to_end(pem)
            return known[1]
        certificate = parse_peer(pem, pem=True)
        found = verify(certificate, peers=self._peers, purpose=Purpose.CLIENT, now=self._keeper.now())
        self._known[pem] = certificate, found
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found
