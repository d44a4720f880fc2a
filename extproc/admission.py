"""Before a request is judged: is there anything to judge it by, and whose is it?

In: the request's headers and the connection that they came by. Out: a machine, or a refusal. The operator says which sources
of identity count, in order; one that speaks and cannot be understood is not passed over for the next.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum

from dataplane.external_protocol import SANDBOX_TOKEN, SOURCE_ADDRESS
from extproc import refusals
from extproc.events import Answer, Headers
from extproc.identity import Caller, Peer, Unknown, from_attributes, from_metadata, host_of, read_token
from extproc.snapshot import Snapshot
from extproc.stream import Machine
from policy.program import Identity

FORBIDDEN = 403
TRUST_DOMAIN = "cluster.local"
"""Where nobody says another: the one that the controller signs for."""


class IdentitySource(StrEnum):
    """Who says whose request it is."""

    ATTRIBUTES = "attributes"
    """Filter state that other filters of a shared gateway have set."""
    CERTIFICATE = "certificate"
    """The SPIFFE id of a template in the client's certificate: its sidecars."""
    METADATA = "metadata"
    """The gRPC metadata of an Envoy that nobody else can speak for: on a socket of its own."""
    ADDRESS = "address"
    """The address that the request came from, if it is a pod's."""


Unattributed = Callable[[str, str], None]
"""Reason and outcome (deny, allow), for a counter."""


class Admission:
    def __init__(
        self,
        *,
        sources: Sequence[IdentitySource],
        allow_unknown: bool,
        overrides: bool,
        unattributed: Unattributed,
        trust_domain: str = TRUST_DOMAIN,
    ) -> None:
        self._sources = tuple(sources)
        self._allow_unknown = allow_unknown
        self._overrides = overrides
        self._unattributed = unattributed
        self._trust_domain = trust_domain

    def admit(self, headers: Headers, peer: Peer, snapshot: Snapshot | None) -> Machine | Answer:
        if snapshot is None:
            return refusals.unread(headers, "NoSnapshot", refusals.UNAVAILABLE)
        caller = self._caller(headers, peer, snapshot)
        if isinstance(caller, Unknown):
            self._unattributed(caller.reason, "allow" if self._allow_unknown else "deny")
            if not self._allow_unknown:
                return replace(refusals.unread(headers, "IdentityUnknown", FORBIDDEN), pod=pod_of(caller.caller))
            caller = caller.caller or Caller(identity=Identity(namespace=""))
        return Machine(caller=caller, view=snapshot.view(caller.identity), overrides=self._overrides)

    def _caller(self, headers: Headers, peer: Peer, snapshot: Snapshot) -> Caller | Unknown:
        for source in self._sources:
            found = self._ask(source, headers, peer, snapshot)
            if found is not None:
                return found
        return Unknown(reason="missing_identity")

    def _ask(self, source: IdentitySource, headers: Headers, peer: Peer, snapshot: Snapshot) -> Caller | Unknown | None:
        match source:
            case IdentitySource.ATTRIBUTES:
                return from_attributes(headers.attributes)
            case IdentitySource.METADATA:
                return from_metadata(peer.metadata) if peer.metadata else None
            case IdentitySource.CERTIFICATE:
                return from_certificate(peer.spiffe_id, snapshot, self._trust_domain)
            case IdentitySource.ADDRESS:
                return from_address(headers.attributes, snapshot)


def pod_of(caller: Caller | None) -> str:
    return f"{caller.identity.namespace}/{caller.pod}" if caller else ""


def from_certificate(spiffe_id: str, snapshot: Snapshot, trust_domain: str) -> Caller | Unknown | None:
    """`spiffe://DOMAIN/ns/NAMESPACE/template/NAME`; the certificate itself was verified in the handshake.

    Another domain's namespaces are those of another cluster, whatever they are called.
    """
    domain, *path = spiffe_id.removeprefix("spiffe://").split("/")
    if len(path) != 4 or (path[0], path[2]) != ("ns", "template"):
        return None
    if domain != trust_domain:
        return Unknown(reason="foreign_trust_domain")
    labels = snapshot.sources.templates.get((path[1], path[3]))
    if labels is None:
        return Unknown(reason="unknown_template")
    return Caller(identity=Identity(namespace=path[1], labels=labels), template=f"{path[1]}/{path[3]}")


def from_address(attributes: Mapping[str, str], snapshot: Snapshot) -> Caller | Unknown | None:
    address = host_of(attributes.get(SOURCE_ADDRESS, ""))
    pod = snapshot.sources.pods.get(address)
    if pod is None:
        return Unknown(reason="unknown_address") if address else None
    identity, token = Identity(namespace=pod.namespace, labels=pod.labels), read_token(attributes.get(SANDBOX_TOKEN, ""))
    return Caller(identity=identity, pod=pod.name, address=address, token=token)
