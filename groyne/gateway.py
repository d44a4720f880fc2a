"""`groyne gateway`: what a shared gateway's Envoy is told so that it asks ext-proc, as files to put into its own configuration."""

import json
import re
from pathlib import Path

from daemon.settings import ENDPOINT, REMEDIES
from dataplane.external import ClientTls
from dataplane.external_settings import ExternalSettings
from dataplane.gateway import gateway_files
from dataplane.listeners import socket_address
from dataplane.secrets import Layout
from groyne.rundir import replace_file
from groyne.yaml_text import yaml_text
from mtls.spiffe import SpiffeId

READABLE = 0o644


class GatewayError(ValueError):
    """What was asked for cannot be; the message is fit for the user."""


def write_gateway(address: str, server_id: str, certificates: str, settings: ExternalSettings, *, out: Path, at: str) -> list[str]:
    """The files' names below `out`. `at` is where the gateway's Envoy sees `out`. Raises GatewayError or OSError."""
    if not re.fullmatch(ENDPOINT, address) or not address:
        raise GatewayError(f"ADDRESS {address!r}: {REMEDIES[ENDPOINT]}")
    host, _, port = address.rpartition(":")
    tls = ClientTls(server_id=server_id_of(server_id), directory=absolute("--certificates", certificates))
    place = Layout(directory=absolute("--at", at))
    made = gateway_files(socket_address(host.strip("[]"), int(port)), tls, settings, place)
    files = {
        "http-connection-manager.yaml": yaml_text({**made.connection_manager, "http_filters": list(made.filters)}),
        "cluster.yaml": yaml_text({name: value for name, value in made.cluster.items() if name != "@type"}),
        **{name: json.dumps(content, indent=2) + "\n" for name, content in made.discovery.items()},
    }
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        replace_file(out / name, text.encode(), READABLE)
    return sorted(files)


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
