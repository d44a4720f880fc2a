"""What somebody else's Envoy, a gateway that many pods share, needs so that ext-proc decides each of its requests.

In: where ext-proc is, by which id it is known, and the gateway's own certificate as files. Out: by the place where it belongs, two
filters, a cluster, settings of the connection manager without which requests could be read in two ways or pods take others' addresses,
and discovery files for the certificates. Listeners, routes and the gateway's TLS are its own. What ext-proc has not decided is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from dataplane.external import RBAC, ClientTls, External, decided_rules, external_cluster, processor, tls_files
from dataplane.external_settings import Body, ExternalSettings
from dataplane.listeners import READ_ONE_WAY, early_headers, without_prefix
from dataplane.names import DECIDED, INTERNAL_PREFIX
from dataplane.secrets import Layout
from dataplane.xds import Resource, extension

NO_SETTINGS = ("allowModeOverride", "body", "shadowMode")
"""Of the filter: bodies come as this module says, and requests wait for them."""


def connection_manager(scheme: Literal["http", "https"]) -> Resource:
    """What a client says of its scheme, for which a rule may ask, counts for nothing; nor do headers that are called as ours."""
    return {
        **READ_ONE_WAY,
        "scheme_header_transformation": {"scheme_to_overwrite": scheme},
        "early_header_mutation_extensions": [early_headers(without_prefix(INTERNAL_PREFIX))],
        "xff_num_trusted_hops": 0,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayFiles:
    """`filters` stand before the router, in this order. `discovery` are files beside them, by name."""

    filters: tuple[Resource, ...]
    cluster: Resource
    connection_manager: Resource
    discovery: Mapping[str, Any]


def gateway_files(
    address: Resource, tls: ClientTls, settings: ExternalSettings, layout: Layout, *, scheme: Literal["http", "https"]
) -> GatewayFiles:
    """`scheme` is that of the gateway's listener.

    Bodies come when ext-proc asks for them, so that only requests wait that a rule must read: it runs with `--allow-mode-override`. What
    the host answers is told only where 401s count: a request that still waits for its answer would else end with the ext-proc that judged.
    """
    external = External(address=address, tls=tls, of_many=True, settings=replace(settings, allow_mode_override=True))
    decider = processor(external, body=Body.NONE, answered=settings.renew_on_unauthorized)
    check = (extension(DECIDED, RBAC + "RBAC", **decided_rules()),) if external.settings.decides else ()
    return GatewayFiles(
        filters=(decider, *check),
        cluster=external_cluster(external, layout),
        connection_manager=connection_manager(scheme),
        discovery=tls_files(external),
    )
