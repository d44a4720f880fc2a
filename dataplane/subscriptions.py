"""A listener that nobody reaches, which names every credential: it makes Envoy fetch those that come while it runs.

Envoy starts to read a secret when whatever first names it is initialised. A listener is, whenever it comes; a route that comes
by RDS after the start is not, so a credential that only routes name would never have a value there (seen with 1.40:
`sds.….update_attempt` stays 0). Who names the same secret shares the subscription, so this listener's is the routes' too.
"""

from collections.abc import Collection, Iterable

from dataplane import names
from dataplane.mutations import credential_injector
from dataplane.secrets import Layout, credential_name
from dataplane.xds import HTTP, NETWORK, Resource, extension, message
from policy.program import Rule

LISTENER = "envoy.config.listener.v3.Listener"


def subscriptions(rules: Iterable[Rule], available: Collection[str], layout: Layout) -> list[Resource]:
    """The listener, if there is a credential that has a value."""
    found = {credential_name(rule.token): rule for rule in rules if rule.token and rule.id in available}
    if not found:
        return []
    injectors = [{**credential_injector(rule, layout), "name": name, "disabled": True} for name, rule in sorted(found.items())]
    router = extension(HTTP + "router", "envoy.extensions.filters.http.router.v3.Router")
    manager = extension(
        NETWORK + "http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=names.SUBSCRIPTIONS,
        route_config={"name": names.SUBSCRIPTIONS},
        http_filters=[*injectors, router],
    )
    return [message(LISTENER, name=names.SUBSCRIPTIONS, internal_listener={}, filter_chains=[{"filters": [manager]}])]
