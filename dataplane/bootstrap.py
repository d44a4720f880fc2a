"""The bootstrap: listeners, clusters and everything else are files beside it; the administration interface is a socket, never a port."""

from dataplane.secrets import Layout
from dataplane.xds import Resource, extension


def bootstrap(layout: Layout, admin_socket: str) -> Resource:
    internal = extension("envoy.bootstrap.internal_listener", "envoy.extensions.bootstrap.internal_listener.v3.InternalListener")
    return {
        "node": {"id": "groyne", "cluster": "groyne"},
        "admin": {"address": {"pipe": {"path": admin_socket, "mode": 0o600}}},
        "dynamic_resources": {"lds_config": layout.source("lds.json"), "cds_config": layout.source("cds.json")},
        "bootstrap_extensions": [internal],
        "overload_manager": {
            "resource_monitors": [
                extension(
                    "envoy.resource_monitors.global_downstream_max_connections",
                    "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                    max_active_downstream_connections=20_000,
                )
            ]
        },
    }
