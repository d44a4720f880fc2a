"""What Envoy did against what was expected: an empty list, or in words what differs."""

import json
import re
from collections.abc import Iterable, Sequence

from e2e.differential.client import Answer, Sent
from e2e.differential.expectation import Expected, Forwarded
from e2e.differential.upstream import Received
from policy.headers import is_written_by_proxy

FRAMING = frozenset({"content-length", "transfer-encoding"})
"""How a body is framed is each connection's own business; its bytes are compared."""

NEVER_COMPARED = FRAMING | {"host"}


def differences(expected: Expected, sent: Sent, answer: Answer, received: Sequence[Received]) -> list[str]:
    if expected.otherwise and answer.status is not None and not answer.connect:
        return differences(expected.otherwise, sent, answer, received)
    if expected.untouched:
        return [] if not answer.connect else [f"TLS was to go end to end, but the CONNECT was answered with {answer.status}"]
    if expected.forwarded is not None:
        return forwarding(expected.forwarded, sent, answer, received)
    found = [f"refused, but the upstream received {each}" for each in received]
    if answer.status is None:
        return found if expected.malformed else [*found, f"no answer ({answer.note}), expected {expected.status}"]
    if expected.malformed:
        return found if answer.status >= 400 else [*found, f"malformed, but answered with {answer.status}"]
    if answer.status != expected.status:
        found.append(f"status {answer.status}, expected {expected.status}; body {answer.body!r}")
    elif sent.raw.method != "HEAD" or answer.connect:
        found += body(expected, answer)
    return found


def body(expected: Expected, answer: Answer) -> Iterable[str]:
    if expected.body is not None and answer.body != expected.body:
        yield f"body {answer.body!r}, expected {expected.body!r}"
    if expected.fields is None:
        return
    try:
        fields = json.loads(answer.body)
    except ValueError:
        yield f"body {answer.body!r} is no JSON"
        return
    if not fields.get("request_id"):
        yield "no request id"
    for name in sorted(expected.fields.keys() - {"request_id"}):
        if fields.get(name) != expected.fields[name]:
            yield f"body's {name} {fields.get(name)!r}, expected {expected.fields[name]!r}"
    if extra := fields.keys() - expected.fields.keys():
        yield f"body has more fields: {sorted(extra)}"


def forwarding(expected: Forwarded, sent: Sent, answer: Answer, received: Sequence[Received]) -> list[str]:
    if len(received) != 1:
        return [f"the upstream received {len(received)} requests; answered with {answer.status} {answer.note} {answer.body[:300]!r}"]
    got = received[0]
    seen = {
        "status": (answer.status, 200),
        "method": (got.method, expected.method),
        "target": (got.target, expected.target),
        "authority": (next((value for name, value in got.headers if name.lower() == "host"), None), expected.authority),
        "body": (got.body, expected.body),
        "port": (got.port, expected.port),
        "tls": (got.tls, sent.raw.scheme == "https"),
    }
    found = [f"{name} {left!r}, expected {right!r}" for name, (left, right) in seen.items() if left != right]
    headers = joined(got)
    for name in sorted({*headers, *expected.headers} - NEVER_COMPARED):
        left, right = headers.get(name), expected.headers.get(name)
        same = crumbs(left or "") == crumbs(right or "") if name == "cookie" else left == right
        if not same and not is_written_by_proxy(name):
            found.append(f"header {name} {left!r}, expected {right!r}")
    return found


def joined(got: Received) -> dict[str, str]:
    lines: dict[str, list[str]] = {}
    for name, value in got.headers:
        lines.setdefault(name.lower(), []).append(value)
    return {name: ",".join(values) for name, values in lines.items()}


def crumbs(value: str) -> str:
    """Cookies are cut and joined anew wherever HTTP/2 is spoken: what separates them differs, and empty ones get lost."""
    return ";".join(sorted(filter(None, (crumb.strip() for crumb in re.split("[;,]", value)))))
