"""The Envoy of a gateway that is somebody else's: a listener, a route for everything, and what `groyne gateway` wrote for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from e2e.bench.world import LOOPBACK
from e2e.mutual_tls.rig import SERVER_ID
from groyne.__main__ import app
from unit_tests.groyne.test_gateway import MANAGER, ROUTER

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """ext-proc's port, and the certificates that the gateway shows it."""

    ext_proc: int
    certificates: Path


def bootstrap(directory: Path, asked: Asked, *, upstream: int, port: int, before: Sequence[Mapping[str, Any]] = ()) -> Json:
    """`before`: filters of the gateway's own, which come before ours."""
    ours, cluster = written(directory / "out", asked)
    ours["http_filters"] = [*before, *ours["http_filters"], ROUTER]
    routes = {
        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}]}]
    }
    manager = {"name": "http", "typed_config": {"@type": MANAGER, "stat_prefix": "gateway", "route_config": routes, **ours}}
    chains = [{"filters": [manager]}]
    listener = {"name": "all", "address": {"socket_address": {"address": LOOPBACK, "port_value": port}}, "filter_chains": chains}
    endpoint = {"endpoint": {"address": {"socket_address": {"address": LOOPBACK, "port_value": upstream}}}}
    assigned = {"cluster_name": "upstream", "endpoints": [{"lb_endpoints": [endpoint]}]}
    clusters = [{"name": "upstream", "type": "STATIC", "load_assignment": assigned}, cluster]
    return {"node": {"id": "gateway", "cluster": "gateway"}, "static_resources": {"listeners": [listener], "clusters": clusters}}


def written(out: Path, asked: Asked) -> tuple[Json, Json]:
    """The settings of the connection manager, and the cluster."""
    options = {"--server-id": SERVER_ID, "--certificates": str(asked.certificates), "--scheme": "http", "--out": str(out)}
    done = CliRunner().invoke(app, ["gateway", f"{LOOPBACK}:{asked.ext_proc}", *(part for pair in options.items() for part in pair)])
    assert done.exit_code == 0, done.output
    return yaml.safe_load((out / "http-connection-manager.yaml").read_text()), yaml.safe_load((out / "cluster.yaml").read_text())
