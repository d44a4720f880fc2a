"""An event → the request that its webhook gets, or None where its condition does not hold, or why it cannot be.

Everything is computed from the event alone. Bounds: a URL of 4 KiB, a header's value of 8 KiB, a body of 64 KiB.
"""

import json
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from extproc.audit.events import AuditEvent
from extproc.audit.reasons import Dropped, Reason
from policy.cel import CelFailure, holds
from policy.criteria import matched_criteria
from policy.go_templates import TemplateFailure, render
from policy.program import AuditHook, GoTemplate
from policy.variables import AFTER, EVENT, Json, after, before
from policy.webhook_urls import LONGEST as LONGEST_URL
from policy.webhook_urls import Url, parse_url

LARGEST_BODY = 64 * 1024
LONGEST_HEADER = 8 * 1024
JSON, TEXT = "application/json", "text/plain; charset=utf-8"

_CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """`timeout` in seconds, for one attempt. Shown without what the event says."""

    method: str
    url: Url = field(repr=False)
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    body: bytes = field(repr=False)
    timeout: float


def delivery(event: AuditEvent, *, loopback: bool) -> Delivery | None:
    """Raises Dropped."""
    hook, values = event.hook, variables(event)
    if not _wanted(hook, values):
        return None
    url = parse_url(_text(hook.url, values, LONGEST_URL, Reason.URL), loopback=loopback)
    if isinstance(url, str):
        raise Dropped(Reason.URL)
    body, kind = _body(hook, values)
    return Delivery(method=hook.method, url=url, headers=_headers(hook, values, kind), body=body, timeout=hook.timeout)


def variables(event: AuditEvent) -> dict[str, Json]:
    known = before(event.request, event.pod, event.rule, event.inputs)
    result = after(known, result=event.result, status=event.status)
    return {**result, "matched": True, "matchedCriteria": matched_criteria(event.rule, event.request)}


def _wanted(hook: AuditHook, values: dict[str, Json]) -> bool:
    try:
        return holds(hook.when, values, AFTER)
    except CelFailure:
        raise Dropped(Reason.WHEN) from None


def _text(template: GoTemplate, values: dict[str, Json], limit: int, reason: Reason) -> str:
    try:
        return render(template, values, EVENT, limit=limit)
    except TemplateFailure as failure:
        raise Dropped(Reason.TOO_LARGE if failure.reason == "limit" and reason is Reason.BODY else reason) from None


def _headers(hook: AuditHook, values: dict[str, Json], kind: str) -> tuple[tuple[bytes, bytes], ...]:
    """A Content-Type of the hook's own stands for the default one."""
    own = [(name.encode("ascii"), _value(template, values)) for name, template in hook.headers]
    given = {name for name, _ in own}
    defaults = {"user-agent": "groyne"} | ({"content-type": kind} if kind else {})
    return (*((name.encode(), value.encode()) for name, value in defaults.items() if name.encode() not in given), *own)


def _value(template: GoTemplate, values: dict[str, Json]) -> bytes:
    value = _text(template, values, LONGEST_HEADER, Reason.HEADERS).encode("utf-8").strip(b" \t")
    if _CONTROLS.search(value):
        raise Dropped(Reason.HEADERS)
    return value


def _body(hook: AuditHook, values: dict[str, Json]) -> tuple[bytes, str]:
    if hook.json is not None:
        document = _filled(_document(hook.json), values)
        body, kind = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8"), JSON
    elif hook.text is not None:
        body, kind = _text(hook.text, values, LARGEST_BODY, Reason.BODY).encode("utf-8"), TEXT
    else:
        return b"", ""
    if len(body) > LARGEST_BODY:
        raise Dropped(Reason.TOO_LARGE)
    return body, kind


@lru_cache(maxsize=4096)
def _document(text: str) -> Any:
    """Strings become templates once; whoever fills it in changes nothing in it."""
    return _templates(json.loads(text))


def _templates(value: Any) -> Any:
    if isinstance(value, str):
        return GoTemplate(text=value) if "{{" in value else value
    if isinstance(value, dict):
        return {key: _templates(each) for key, each in value.items()}
    return [_templates(each) for each in value] if isinstance(value, list) else value


def _filled(value: Any, values: dict[str, Json]) -> Any:
    if isinstance(value, GoTemplate):
        return _text(value, values, LARGEST_BODY, Reason.BODY)
    if isinstance(value, dict):
        return {key: _filled(each, values) for key, each in value.items()}
    return [_filled(each, values) for each in value] if isinstance(value, list) else value
