"""`groyne gateway`: what a shared gateway's Envoy is told so that it asks ext-proc, as files to put into its own configuration."""

import json
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from daemon.endpoint import Endpoint
from dataplane.external import ClientTls
from dataplane.external_settings import ExternalSettings
from dataplane.gateway import NO_SETTINGS, gateway_files
from dataplane.listeners import socket_address
from dataplane.secrets import Layout
from groyne.rundir import replace_file
from groyne.yaml_text import yaml_text
from mtls.spiffe import SpiffeId

READABLE = 0o644


class Scheme(StrEnum):
    """What pods speak to the gateway's listener."""

    HTTP = "http"
    HTTPS = "https"


class GatewayError(ValueError):
    """What was asked for cannot be; the message is fit for the user."""


def write_gateway(
    address: str, server_id: str, certificates: str, settings: ExternalSettings, *, scheme: Scheme, out: Path, at: str
) -> list[str]:
    """The files' names below `out`. `at` is where the gateway's Envoy sees `out`. Raises GatewayError or OSError."""
    place = endpoint(address)
    tls = ClientTls(server_id=server_id_of(server_id), directory=absolute("--certificates", certificates))
    layout = Layout(directory=absolute("--at", at))
    made = gateway_files(socket_address(place.host, place.port), tls, settings, layout, scheme=scheme.value)
    files = {
        "http-connection-manager.yaml": yaml_text({**made.connection_manager, "http_filters": list(made.filters)}),
        "cluster.yaml": yaml_text({name: value for name, value in made.cluster.items() if name != "@type"}),
        **{name: json.dumps(content, indent=2) + "\n" for name, content in made.discovery.items()},
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        replace_file(out / name, text.encode(), READABLE)
    return sorted(files)


def endpoint(address: str) -> Endpoint:
    try:
        return Endpoint.parse(address)
    except ValueError as error:
        raise GatewayError(f"HOST:PORT {address!r}: {error}") from None


def not_of_a_gateway(names: Iterable[str]) -> None:
    """Raises GatewayError."""
    for name in sorted(set(names) & set(NO_SETTINGS)):
        raise GatewayError(f"--ext-proc-filter {name}: no setting of a gateway: bodies come when ext-proc asks for them; leave it out")


def server_id_of(text: str) -> str:
    try:
        found = SpiffeId.parse(text)
    except ValueError as error:
        raise GatewayError(f"--server-id {text!r}: {error}") from None
    if not found.path:
        raise GatewayError(f"--server-id {text!r}: it names a trust domain and nobody in it")
    return str(found)


def absolute(option: str, directory: str) -> str:
    if not directory.startswith("/"):
        raise GatewayError(f"{option} {directory!r}: the gateway's Envoy needs an absolute path")
    return directory.rstrip("/") or "/"
