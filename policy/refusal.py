"""The standard body of a refusal: what was refused and by which rule, in keys of fixed order, never internals.

Every engine answers with the same keys; Envoy's JSON formatter sorts them, and so does this. Text is what the client sent,
so bytes that are not UTF-8 are replaced.
"""

import json

from policy.program import Rule

ERROR = "request_refused"


def standard_body(*, host: str, method: str, path: str, reason: str, rule: Rule | None = None, request_id: str = "") -> str:
    """`host`, `method` and `path` (without its query) are Latin-1 text; `rule` is the one that refused, if it was one."""
    fields = {
        "error": ERROR,
        "host": _text(host),
        "method": _text(method),
        "path": _text(path),
        "profile": str(rule.profile) if rule else "",
        "reason": reason,
        "request_id": request_id,
        "rule": rule.name if rule else "",
    }
    return json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _text(latin1: str) -> str:
    return latin1.encode("latin-1", "replace").decode("utf-8", "replace")
