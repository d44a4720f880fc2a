"""An event → the request that its webhook gets, or None where its condition does not hold, or why it cannot be.

Everything is computed from the event alone. Bounds: a URL of 4 KiB, a header's value of 8 KiB, a body of 64 KiB.

No sandbox shall keep an event from being sent by what it puts into its request. So a condition that meets more than it can
bear counts as true; what is too long because of the request is made again from shorter values; and what no URL or header can
hold is escaped or becomes a space. What the profile's author wrote is judged strictly, and dropped where it cannot be.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Characters of one value of the request, and of all values of one map together."""

    value: int
    total: int


ROOMS = (Room(value=4096, total=16384), Room(value=256, total=1024))
"""The second is tried where the first gives more than is sent."""
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
    values = variables(event)
    if not _wanted(event.hook, values):
        return None
    lost = Dropped(Reason.INTERNAL)
    for room in ROOMS:
        try:
            return _made(event.hook, shortened(values, room), loopback=loopback)
        except Dropped as dropped:
            lost = dropped
    raise lost


def _made(hook: AuditHook, values: dict[str, Json], *, loopback: bool) -> Delivery:
    url = parse_url(_text(hook.url, values, LONGEST_URL, Reason.URL), loopback=loopback, escape=True)
    if isinstance(url, str):
        raise Dropped(Reason.URL)
    body, kind = _body(hook, values)
    return Delivery(method=hook.method, url=url, headers=_headers(hook, values, kind), body=body, timeout=hook.timeout)


def shortened(values: dict[str, Json], room: Room) -> dict[str, Json]:
    """The request's values, so that whatever it holds there is an event."""
    request: dict[str, Json] = {name: value[: room.value] if isinstance(value, str) else value for name, value in values["request"].items()}
    for name in ("headers", "queryParams"):
        left = room.total
        kept: dict[str, str] = {}
        for key, value in request[name].items():
            left -= len(key) + len(value[: room.value])
            if left >= 0:
                kept[key] = value[: room.value]
        request[name] = kept
    return {**values, "request": request}


def variables(event: AuditEvent) -> dict[str, Json]:
    known = before(event.request, event.pod, event.rule, event.inputs)
    result = after(known, result=event.result, status=event.status)
    return {**result, "matched": True, "matchedCriteria": matched_criteria(event.rule, event.request)}


def _wanted(hook: AuditHook, values: dict[str, Json]) -> bool:
    try:
        return holds(hook.when, values, AFTER)
    except CelFailure as failure:
        if failure.reason == "limit":
            return True
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
    return _CONTROLS.sub(b" ", _text(template, values, LONGEST_HEADER, Reason.HEADERS).encode("utf-8")).strip(b" \t")


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
