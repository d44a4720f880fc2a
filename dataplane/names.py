"""Names that more than one part of the configuration uses: internal headers, filter-state keys, clusters, listeners, filters.

Every `x-groyne-` header of a client is removed before anything reads it; only Envoy's own configuration writes them.
"""

INTERNAL_PREFIX = "x-groyne-"
PATH_HEADER = "x-groyne-path"
ID_HEADER = "x-groyne-id"
NAMES_HEADER = "x-groyne-names"
HOST_HEADER = "x-groyne-host"
PORT_HEADER = "x-groyne-port"
RAW_HEADER = "x-groyne-raw"
DECISION_HEADER = "x-groyne-d"
UNESCAPED_HEADER = "x-groyne-u"
QUERY_HEADER = "x-groyne-q"
TOOL_HEADER = "x-groyne-m"

CONNECT_HOST = "groyne.connect_host"
CONNECT_PORT = "groyne.connect_port"
CONNECT_RAW = "groyne.connect_raw"
CONNECT_ROUTE = "groyne.connect_route"
DYNAMIC_HOST = "envoy.upstream.dynamic_host"
DYNAMIC_PORT = "envoy.upstream.dynamic_port"

SLOT = "groyne.slot."
SLOTS = 64
CONNECT_LUA = "groyne.connect"
QUERY_LUA = "groyne.query"
TOOL_LUA = "groyne.tools"
NAMES_LUA = "groyne.names"
CONNECT_STATE = "groyne.connect_state"

PLAIN_CLUSTER = "plain"
TLS_CLUSTER = "tls"
TLS_HTTP1_CLUSTER = "tls-http1"
TCP_CLUSTER = "tcp"
INTERCEPT = "intercept"
RAW = "raw"
PASS = "pass"  # noqa: S105 - a listener, not a password
PINNED = "-pinned"
"""Clusters, listener and filter of hosts whose address was given by hand: their addresses are not judged."""
DNS_FILTER = "groyne.resolve"
EXTERNAL = "groyne.external"
"""ext-proc: the filter, and the cluster it asks."""
DECIDED = "groyne.decided"
"""The check that ext-proc has decided what goes on."""
EXPLICIT = "explicit"
REDIRECT = "redirect"
SUBSCRIPTIONS = "credentials"


def slot(position: int) -> str:
    return f"{SLOT}{position}"
