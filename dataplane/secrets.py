"""Credentials and certificates as SDS files: one resource a file, replaced by rename, never part of routes or listeners."""

import hashlib
import json
from dataclasses import dataclass

from dataplane.xds import Resource, discovery_response, file_source, message, text
from policy.program import TokenTransformation

SECRET = "envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a message type
LEAF = "leaf"
CREDENTIAL = "credential-"
CREDENTIAL_FILE = f"sds-{CREDENTIAL}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where the files lie as Envoy sees them: absolute, without a trailing slash.

    `projected`: the directory is a Kubernetes volume, whose files change all at once when a symlink beside them is swapped;
    otherwise each file is replaced by rename, and Envoy watches it alone.
    """

    directory: str
    projected: bool = False

    def path(self, name: str) -> str:
        return f"{self.directory}/{name}"

    def source(self, name: str) -> Resource:
        return file_source(self.path(name), self.directory if self.projected else None)


def credential_name(token: TokenTransformation) -> str:
    """Names where the value comes from and how it is written, not the value: a rotated value is the same resource.

    Rules that send the same credential share it: Envoy spends an inotify instance on each file, and a user has 128.
    """
    source = repr((token.secret.namespace, token.secret.name, token.secret.key, token.template.parts))
    return CREDENTIAL + hashlib.sha256(source.encode()).hexdigest()[:20]


def credential_file(token: TokenTransformation) -> str:
    return f"sds-{credential_name(token)}.json"


def leaf_file(number: int) -> str:
    return f"sds-{LEAF}-{number}.json"


def sds(resource: Resource) -> Resource:
    """The discovery response; its version is the content's hash, so that the same content is the same bytes."""
    version = hashlib.sha256(repr(sorted(resource.items())).encode()).hexdigest()[:16]
    return discovery_response(version, [resource])


def credential_secret(token: TokenTransformation, value: str) -> Resource:
    return sds(message(SECRET, name=credential_name(token), generic_secret={"secret": {"inline_string": text(value)}}))


def withdrawn(file: str) -> str:
    """The credential's file without its value, which counts as none: Envoy keeps what was in a file that vanishes."""
    [resource] = json.loads(file)["resources"]
    return json.dumps(sds({**resource, "generic_secret": {"secret": {"inline_string": ""}}}))


def certificate_secret(name: str, certificate_pem: str, key_pem: str) -> Resource:
    pair = {"certificate_chain": {"inline_string": certificate_pem}, "private_key": {"inline_string": key_pem}}
    return sds(message(SECRET, name=name, tls_certificate=pair))
