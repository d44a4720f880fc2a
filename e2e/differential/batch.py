"""Many programs in one Envoy: each has its own listeners, routes and secrets, one for each way; they share the way out and ext-proc.

The configuration is the compiler's, inlined into one static bootstrap (`dataplane.static`), because Envoy spends an inotify
instance on each file and a machine has few. Only names change of which one Envoy knows one each: those of listeners, of the
clusters that lead into internal listeners, and of secrets.
"""

import datetime as dt
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from dataplane import certificates, names
from dataplane.compile import Options, Pair, compile_envoy
from dataplane.external import External
from dataplane.listeners import DnsCache
from dataplane.secrets import Layout
from dataplane.static import static_bootstrap
from dataplane.xds import Resource
from e2e.differential.external import TOKEN, deciding
from e2e.differential.program import Program
from unit_tests.dataplane.envoy_process import running_envoy

FIRST_PORT = 20000
NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
SECRET_NAME = re.compile(r'"((?:credential-[0-9a-f]{20})|(?:leaf-[0-9]+))"')
OWN_CLUSTER = re.compile(rf'"(cluster|cluster_name|server_listener_name)": "({names.INTERCEPT}|{names.PASS})"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What all programs share: where files may lie, who resolves names, which roots Envoy trusts, who signs leafs."""

    directory: Path
    resolver: tuple[str, int]
    authority: certificates.KeyPair
    transport: str = "h2corn"
    """Who speaks HTTP/2 for ext-proc."""


class Way(StrEnum):
    """`NATIVE`: Envoy decides what it can, ext-proc the rest. `EXTPROC`: all is decided there, as in a shared gateway."""

    NATIVE = "native"
    EXTPROC = "extproc"


@contextmanager
def running(programs: Sequence[Program], place: Place, ways: Sequence[Way] = tuple(Way)) -> Iterator[list[dict[Way, int]]]:
    """The ports of each program's listeners."""
    with deciding(programs, place.directory, place.transport) as socket:
        ports = [{way: FIRST_PORT + 1000 * at + number for at, way in enumerate(ways)} for number in range(len(programs))]
        made = [owned(program, number, ports[number][way], way, place, socket) for number, program in enumerate(programs) for way in ways]
        with running_envoy(merged(made), log_level="error"):
            yield ports


def merged(bootstraps: Sequence[Resource]) -> Resource:
    static: dict[str, dict[str, Any]] = {"listeners": {}, "clusters": {}, "secrets": {}}
    for bootstrap in bootstraps:
        for kind, found in static.items():
            found.update((resource["name"], resource) for resource in bootstrap["static_resources"][kind])
    return {**bootstraps[0], "static_resources": {kind: list(found.values()) for kind, found in static.items()}}


def owned(program: Program, number: int, port: int, way: Way, place: Place, socket: str) -> Resource:
    """One program's bootstrap under names of its own."""
    external = External(
        address={"pipe": {"path": socket}},
        identity=program.selection.identity,
        template=str(number),
        token=TOKEN,
        everything=way is Way.EXTPROC,
    )
    text = json.dumps(static_bootstrap(configuration(program, place.authority, options(place, port, external))))
    own = f"{number}-{way.value}"
    # After a protocol error Envoy waits a second before it closes, for clients that are slow to read.
    text = text.replace('"drain_timeout": ', '"delayed_close_timeout": "0.05s", "drain_timeout": ')
    text = SECRET_NAME.sub(rf'"\1-{own}"', text)
    text = OWN_CLUSTER.sub(rf'"\1": "\2-{own}"', text)
    bootstrap: Resource = json.loads(text)
    for kind, renamed in (("listeners", (names.EXPLICIT, names.INTERCEPT, names.PASS)), ("clusters", (names.INTERCEPT, names.PASS))):
        for resource in bootstrap["static_resources"][kind]:
            if resource["name"] in renamed:
                resource["name"] += f"-{own}"
    return bootstrap


def options(place: Place, port: int, external: External) -> Options:
    return Options(
        layout=Layout(directory=str(place.directory)),
        address={"socket_address": {"address": "127.0.0.1", "port_value": port}},
        admin_socket="/unused",
        dns=DnsCache(resolver=place.resolver),
        external=external,
    )


def configuration(program: Program, authority: certificates.KeyPair, where: Options) -> dict[str, str]:
    chunks = certificates.chunk_names(program.plan.intercepted_names)
    leafs = [certificates.make_leaf(authority, chunk, now=NOW) for chunk in chunks]
    pairs = tuple(Pair(certificate=leaf.cert_pem, key=leaf.key_pem) for leaf in leafs)
    return dict(compile_envoy(program.plan, program.credentials, pairs, where).files)
