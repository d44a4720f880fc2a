"""How a refusal looks: as Envoy's own, status and body of the rule, or the standard JSON with what was refused and why."""

from extproc.events import Headers, Refuse
from extproc.requests import request_id
from policy.program import Rule
from policy.refusal import standard_body
from policy.request import Request
from policy.verdict import Verdict

JSON = "application/json"
TEXT = "text/plain"
UNAVAILABLE = 503
FORBIDDEN = 403


def by_verdict(verdict: Verdict, request: Request, headers: Headers, rule: Rule | None) -> Refuse:
    """`rule` is the one that decided, if it was one."""
    status = verdict.status or FORBIDDEN
    if verdict.body is not None:
        body = verdict.body.encode("latin-1")
        return Refuse(status=status, body=body, content_type=TEXT, reason=verdict.reason, rule=verdict.decided_by)
    path = request.target.partition("?")[0]
    named = rule if verdict.reason in {"Blocked", "ToolDenied"} else None
    text = standard_body(
        host=request.authority, method=request.method, path=path, reason=verdict.reason, rule=named, request_id=request_id(headers)
    )
    return Refuse(status=status, body=text.encode(), content_type=JSON, reason=verdict.reason, rule=verdict.decided_by)


def unread(headers: Headers, reason: str, status: int) -> Refuse:
    """Of a request that no rule has judged."""
    pseudo = dict(line for line in headers.lines if line[0].startswith(":"))
    text = standard_body(
        host=pseudo.get(":authority", ""),
        method=pseudo.get(":method", ""),
        path=pseudo.get(":path", "").partition("?")[0],
        reason=reason,
        request_id=request_id(headers),
    )
    return Refuse(status=status, body=text.encode(), content_type=JSON, reason=reason)
