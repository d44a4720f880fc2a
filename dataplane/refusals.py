"""How a refusal looks: routes that answer by themselves.

A rule's own body is sent as it is. Otherwise the answer is JSON with error, host, method, path, profile, rule, reason and
request id, written by Envoy's formatter, which escapes what the client sent (design decision 7).
"""

import json

from dataplane.xds import Resource, extension, literal, text
from policy.program import Block, Rule

ROUTE = "envoy.config.route.v3.Route"


def standard_body(reason: str, rule: Rule | None = None) -> Resource:
    return {
        "error": "request_refused",
        "host": "%REQ(:AUTHORITY)%",
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ:PATH)%",
        "profile": literal(str(rule.profile)) if rule else "",
        "reason": reason,
        "request_id": "%REQ(X-GROYNE-ID)%",
        "rule": literal(rule.name) if rule else "",
    }


def refuse(name: str, block: Block, reason: str, rule: Rule | None = None, *, connect: bool = False) -> Resource:
    """A route action: answers with the block's status and body. `name` is what the access log calls it."""
    answer: Resource = {"status": connect_status(block.status) if connect else block.status}
    if block.body is None:
        body = standard_body(reason, rule)
        # A CONNECT has no path, which Envoy would write as null.
        answer["body_format"] = {"json_format": {**body, "path": ""} if connect else body}
    elif block.body:
        answer["body"] = {"inline_string": text(block.body)}
    match: Resource = {"connect_matcher": {}} if connect else {"prefix": ""}
    return extension("route", ROUTE, name=name, match=match, direct_response=answer)


def connect_status(status: int) -> int:
    """A CONNECT that is answered with 2xx has a tunnel, as its client sees it."""
    return 403 if status < 300 else status


def builtin(reason: str, status: int, *, connect: bool = False) -> Resource:
    """A refusal that no rule asked for: malformed, mismatched or unreachable requests."""
    return refuse(route_name("refused", reason), Block(status=status), reason, connect=connect)


def anyhow(reason: str, status: int) -> Resource:
    """The same for a CONNECT and for any other request, which one route cannot be."""
    both = [builtin(reason, status, connect=connect)["typed_config"] for connect in (True, False)]
    routes = [{key: value for key, value in route.items() if key != "@type"} for route in both]
    return extension("route", "envoy.config.route.v3.RouteList", routes=routes)


def by_rule(rule: Rule, block: Block, reason: str, *, connect: bool = False) -> Resource:
    return refuse(route_name("blocked", rule.id, reason), block, reason, rule, connect=connect)


def route_name(verdict: str, *parts: str) -> str:
    """The access log carries the route's name; `groyne` reads verdict, rule and reason back from it."""
    return json.dumps([verdict, *parts])
