"""Values of every variable, as an event has them."""

from typing import Any


def variables(**changed: Any) -> dict[str, Any]:
    return {
        "result": "blocked",
        "request": {
            "host": "api.test",
            "port": 443,
            "path": "/v1/é",
            "method": "POST",
            "scheme": "https",
            "headers": {"content-type": "application/json", "x-a": "1"},
            "queryParams": {"q": "1"},
        },
        "pod": {"name": "p-0", "namespace": "team", "ip": "10.0.0.7", "labels": {"app": "agent", "tier/x": "y"}},
        "profile": {"name": "openai", "namespace": "team"},
        "rule": {"name": "no-admin"},
        "inputs": {"hook": {"url": "https://hook.test", "a-b": "c"}, "empty": {}},
        "response": {"status": 403},
        "matched": True,
        "matchedCriteria": ["host api.test", "path prefix /v1"],
    } | changed
