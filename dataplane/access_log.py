"""The access log: one JSON object a request or tunnel, from which `groyne` makes audit records.

It names routes and actions (which carry rule ids), never values, and leaves the query out. Envoy escapes what clients send.
What ext-proc decided it says itself, in metadata.
"""

from dataplane import names
from dataplane.external import External
from dataplane.external_protocol import OWN_NAMESPACE
from dataplane.secrets import Layout
from dataplane.xds import Resource, extension

FILE = "access.log"
# Plain: JSON in a string. As an object Envoy would write, read and write it again, for each request.
MATCHED = "%FILTER_STATE(envoy.extensions.filters.http.composite.matched_actions:PLAIN)%"


def http_access_log(layout: Layout, scheme: str, external: External | None = None) -> list[Resource]:
    decided = {"decided": f"%DYNAMIC_METADATA({OWN_NAMESPACE})%"} if external else {}
    return [
        file_log(
            layout,
            {
                "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
                "scheme": scheme,
                "method": "%REQ(:METHOD)%",
                "authority": "%REQ(:AUTHORITY):300%",
                "path": "%PATH(NQ:PATH):2048%",
                "status": "%RESPONSE_CODE%",
                "route": "%ROUTE_NAME%",
                "acted": MATCHED,
                "details": "%RESPONSE_CODE_DETAILS%",
                "flags": "%RESPONSE_FLAGS%",
                "id": "%REQ(X-GROYNE-ID)%",
                "ms": "%DURATION%",
                **decided,
            },
        )
    ]


def tcp_access_log(layout: Layout) -> list[Resource]:
    """Connections inside a tunnel; HTTP in them is logged by its requests. `route` is what the CONNECT was admitted by."""
    return [
        file_log(
            layout,
            {
                "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
                "tunnel": f"%FILTER_STATE({names.CONNECT_HOST}:PLAIN)%",
                "port": f"%FILTER_STATE({names.CONNECT_PORT}:PLAIN)%",
                "route": f"%FILTER_STATE({names.CONNECT_ROUTE}:PLAIN)%",
                "sni": "%REQUESTED_SERVER_NAME%",
                "chain": "%FILTER_CHAIN_NAME%",
                "details": "%CONNECTION_TERMINATION_DETAILS%",
                "flags": "%RESPONSE_FLAGS%",
                "tls": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
                "handshake": "%DOWNSTREAM_HANDSHAKE_DURATION%",
                "ms": "%DURATION%",
            },
        )
    ]


def file_log(layout: Layout, fields: dict[str, str]) -> Resource:
    kind = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
    return extension("envoy.access_loggers.file", kind, path=layout.path(FILE), log_format={"json_format": fields})
