"""The bootstrap: listeners, clusters and everything else are files beside it; the administration interface is a socket, never a port.

Where a pod may lie on a kernel without IPv6, there are two of them, each with its own listeners and clusters, and the pod decides
as it starts (`start_script`). Whichever way it errs, what is redirected meets no listener and is closed.
"""

from dataplane.secrets import Layout
from dataplane.xds import Resource, extension

IPV4 = "-ipv4"
"""What the names of files without any IPv6 address end in, less their extension."""
IPV6_KERNEL = "/proc/net/if_inet6"
"""Is there wherever the kernel has IPv6, also where it is switched off for a pod: its sockets can be opened then, which is enough."""


def start_script(directory: str) -> str:
    """For `sh -c`, with Envoy's arguments behind it. Without a second bootstrap the first one fits every pod of the cluster."""
    first, second = f"{directory}/bootstrap.json", f"{directory}/bootstrap{IPV4}.json"
    return f'if [ ! -e {IPV6_KERNEL} ] && [ -e {second} ]; then set -- -c {second} "$@"; else set -- -c {first} "$@"; fi; exec envoy "$@"'


def bootstrap(layout: Layout, admin_socket: str, variant: str = "") -> Resource:
    internal = extension("envoy.bootstrap.internal_listener", "envoy.extensions.bootstrap.internal_listener.v3.InternalListener")
    return {
        "node": {"id": "groyne", "cluster": "groyne"},
        "admin": {"address": {"pipe": {"path": admin_socket, "mode": 0o600}}},
        "dynamic_resources": {"lds_config": layout.source(f"lds{variant}.json"), "cds_config": layout.source(f"cds{variant}.json")},
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
