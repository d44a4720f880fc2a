"""Secrets by which ext-proc and the sidecars that ask it know each other: two in the controller's namespace, and files in each template's.

    groyne-ext-proc-ca     the authorities with their keys; nothing mounts it
    groyne-ext-proc-tls    ext-proc's certificate, key and bundle, as its Deployment mounts them
    TEMPLATE-egress        external-client.crt, external-client.key, external-ca.crt: a template's id, where a rule of its needs ext-proc

What was made before is kept to the byte as long as it serves. Beside the bytes that are new, nothing here knows of the API server.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from controller.compile.material import pair_files, text_pair
from controller.compile.output import LABELS
from controller.compile.redacted import Redacted
from controller.compile.secret import CONTENT_HASH, UnifiedSecret, content_hash
from controller.compile.workload_authorities import Authorities
from controller.compile.workload_certificates import due, make_workload, serves
from dataplane.certificate_parts import KeyPair
from dataplane.external import CLIENT_CERTIFICATE
from mtls.identity import Purpose

ACCOUNT = "groyne-ext-proc"
AUTHORITY, SERVER = f"{ACCOUNT}-ca", f"{ACCOUNT}-tls"
CLIENT, CLIENT_AUTHORITIES = CLIENT_CERTIFICATE, "external-ca.crt"
SERVER_PAIR, SERVER_AUTHORITIES = "tls", "ca.crt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuing:
    """The controller signs what ext-proc and its callers show. `authorities` None: they are not read yet, or cannot be had."""

    trust_domain: str
    authorities: Authorities | None = None


def template_id(trust_domain: str, namespace: str, name: str) -> str:
    return f"spiffe://{trust_domain}/ns/{namespace}/template/{name}"


def ext_proc_id(trust_domain: str, namespace: str) -> str:
    return f"spiffe://{trust_domain}/ns/{namespace}/sa/{ACCOUNT}"


def authority_secret(found: Authorities, namespace: str) -> UnifiedSecret:
    return named(AUTHORITY, namespace, found.files)


def server_secret(found: Authorities, namespace: str, identity: str, held: Mapping[str, bytes], *, now: datetime) -> UnifiedSecret:
    dns = (f"{ACCOUNT}.{namespace}.svc", f"{ACCOUNT}.{namespace}")
    before = text_pair(held, SERVER_PAIR)
    kept = before if before and serves(before, found.trusted, identity, Purpose.SERVER, dns=dns, now=now) else None
    pair = kept or make_workload(found.signing, identity, Purpose.SERVER, dns=dns, now=now)
    return named(SERVER, namespace, {**pair_files(SERVER_PAIR, pair), SERVER_AUTHORITIES: found.bundle})


def client_files(found: Authorities, identity: str, before: KeyPair | None, *, now: datetime) -> Mapping[str, str]:
    kept = before if before and serves(before, found.trusted, identity, Purpose.CLIENT, now=now) else None
    pair = kept or make_workload(found.signing, identity, Purpose.CLIENT, now=now)
    return {**pair_files(CLIENT, pair), CLIENT_AUTHORITIES: found.bundle}


def server_due(secret: UnifiedSecret) -> datetime:
    return due(secret.data[f"{SERVER_PAIR}.crt"].reveal().decode())


def named(name: str, namespace: str, files: Mapping[str, str]) -> UnifiedSecret:
    """It belongs to nobody but the installation: what it holds must outlive whatever is deleted beside it."""
    data = {key: Redacted(files[key].encode()) for key in sorted(files)}
    head = {"name": name, "namespace": namespace, "labels": dict(LABELS), "annotations": {CONTENT_HASH: content_hash(data)}}
    return UnifiedSecret(metadata=head, data=data)
