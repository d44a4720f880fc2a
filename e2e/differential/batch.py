"""Many programs in one Envoy: each has its own listener, routes and secrets; what they share is the way out.

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
from pathlib import Path
from typing import Any

from dataplane import certificates, names
from dataplane.compile import Options, Pair, compile_envoy
from dataplane.listeners import DnsCache
from dataplane.secrets import Layout
from dataplane.static import static_bootstrap
from dataplane.xds import Resource
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


@contextmanager
def running(programs: Sequence[Program], place: Place) -> Iterator[list[int]]:
    """The port of each program's listener."""
    with running_envoy(merged([owned(program, number, place) for number, program in enumerate(programs)]), log_level="error"):
        yield [FIRST_PORT + number for number in range(len(programs))]


def merged(bootstraps: Sequence[Resource]) -> Resource:
    static: dict[str, dict[str, Any]] = {"listeners": {}, "clusters": {}, "secrets": {}}
    for bootstrap in bootstraps:
        for kind, found in static.items():
            found.update((resource["name"], resource) for resource in bootstrap["static_resources"][kind])
    return {**bootstraps[0], "static_resources": {kind: list(found.values()) for kind, found in static.items()}}


def owned(program: Program, number: int, place: Place) -> Resource:
    """One program's bootstrap under names of its own."""
    text = json.dumps(static_bootstrap(configuration(program, place.authority, options(place, FIRST_PORT + number))))
    # After a protocol error Envoy waits a second before it closes, for clients that are slow to read.
    text = text.replace('"drain_timeout": ', '"delayed_close_timeout": "0.05s", "drain_timeout": ')
    text = SECRET_NAME.sub(rf'"\1-{number}"', text)
    text = OWN_CLUSTER.sub(rf'"\1": "\2-{number}"', text)
    bootstrap: Resource = json.loads(text)
    for kind, renamed in (("listeners", (names.EXPLICIT, names.INTERCEPT, names.PASS)), ("clusters", (names.INTERCEPT, names.PASS))):
        for resource in bootstrap["static_resources"][kind]:
            if resource["name"] in renamed:
                resource["name"] += f"-{number}"
    return bootstrap


def options(place: Place, port: int) -> Options:
    return Options(
        layout=Layout(directory=str(place.directory)),
        address={"socket_address": {"address": "127.0.0.1", "port_value": port}},
        admin_socket="/unused",
        dns=DnsCache(resolver=place.resolver),
    )


def configuration(program: Program, authority: certificates.KeyPair, where: Options) -> dict[str, str]:
    chunks = certificates.chunk_names(program.plan.intercepted_names)
    leafs = [certificates.make_leaf(authority, chunk, now=NOW) for chunk in chunks]
    pairs = tuple(Pair(certificate=leaf.cert_pem, key=leaf.key_pem) for leaf in leafs)
    return dict(compile_envoy(program.plan, program.credentials, pairs, where).files)
