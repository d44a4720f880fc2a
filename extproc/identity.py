"""Whose request it is: from Envoy's attributes, from the connection that Envoy came by, or from the address of the pod.

Only exact names of attributes count, and nothing is guessed: who cannot be told is refused, unless the operator said
otherwise. The names of attributes and the forms of labels and token are those of openkruise/agents, whose gateways set them.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from dataplane.external_protocol import PEER_NAME, PEER_NAMESPACE, SANDBOX_LABELS, SANDBOX_TOKEN, SOURCE_ADDRESS
from policy.program import Identity

NO_TOKEN = "-"  # noqa: S105 - how a gateway spells that there is none
LONGEST = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxToken:
    """What a sandbox shows to a credential provider."""

    access_token: str = field(repr=False)
    client_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`identity` decides which profiles hold; `pod`, `template` and `address` are for audit and providers, and may be empty."""

    identity: Identity
    pod: str = ""
    template: str = ""
    address: str = ""
    token: SandboxToken | None = None

    @property
    def name(self) -> str:
        """The pod, or the template whose pods nobody tells apart; empty where neither is known."""
        if self.pod:
            return f"pod {self.identity.namespace}/{self.pod}"
        return f"template {self.template}" if self.template else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Nobody knows whose request it is. `reason` is one of few words, for a counter."""

    reason: str
    caller: Caller | None = None
    """What may be assumed where the operator lets such requests pass: no labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The gRPC connection: what its client's certificate says (already verified), and what its metadata says (if that is trusted)."""

    spiffe_id: str = ""
    metadata: str = ""


def from_attributes(attributes: Mapping[str, str]) -> Caller | Unknown | None:
    """None where no attribute speaks of a pod."""
    namespace, name = attributes.get(PEER_NAMESPACE, ""), attributes.get(PEER_NAME, "")
    if not (namespace or name):
        return None
    if not (namespace and name):
        return Unknown(reason="missing_identity")
    address, token = host_of(attributes.get(SOURCE_ADDRESS, "")), read_token(attributes.get(SANDBOX_TOKEN, ""))
    labels = read_labels(attributes.get(SANDBOX_LABELS, ""))
    caller = Caller(identity=Identity(namespace=namespace, labels=labels or ()), pod=name, address=address, token=token)
    return Unknown(reason="label_decode_failure", caller=caller) if labels is None else caller


def read_labels(encoded: str) -> tuple[tuple[str, str], ...] | None:
    """Base64 of `k1=v1,k2=v2`, split at the first `=`; none given are no labels. None where something is there that says nothing."""
    if not encoded:
        return ()
    try:
        text = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    pairs = (pair.strip().partition("=") for pair in text.split(","))
    labels = {name.strip(): value.strip() for name, mark, value in pairs if mark and name.strip()}
    return tuple(sorted(labels.items())) or None


def read_token(encoded: str) -> SandboxToken | None:
    """Base64 of JSON with `accessToken` and `sandboxClientId`. What cannot be read is no token."""
    if not encoded or encoded == NO_TOKEN:
        return None
    found = decoded_object(encoded)
    token, client = found.get("accessToken"), found.get("sandboxClientId", "")
    if not isinstance(token, str) or not token or not isinstance(client, str):
        return None
    return SandboxToken(access_token=token, client_id=client)


@lru_cache(maxsize=256)
def from_metadata(text: str) -> Caller | Unknown:
    """Base64 of JSON: `namespace`, `labels`, and where there are any `template`, `pod` and `token` (as the attribute has it)."""
    found = decoded_object(text)
    namespace, labels = found.get("namespace"), found.get("labels", {})
    readable = isinstance(labels, dict) and all(isinstance(value, str) for value in labels.values())
    if not isinstance(namespace, str) or not namespace or not readable:
        return Unknown(reason="missing_identity")
    pod, template, token = (value if isinstance(value := found.get(key), str) else "" for key in ("pod", "template", "token"))
    identity = Identity(namespace=namespace, labels=tuple(sorted(labels.items())))
    return Caller(identity=identity, pod=pod, template=template, token=read_token(token))


def decoded_object(encoded: str) -> dict[str, Any]:
    """Empty where it is no base64 of a JSON object."""
    if len(encoded) > LONGEST:
        return {}
    try:
        found = json.loads(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def host_of(address: str) -> str:
    """Of Envoy's `10.0.0.1:5000` or `[fd00::1]:5000`."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.rpartition(":")[0] if address.count(":") == 1 else address
