"""`audit` of a profile or a rule → hooks whose every expression and template is known to be one.

In: the models. Out: `AuditHook`s, or problems at the field that is wrong. What can only be judged when an event comes (the URL
that a template gives, a value that is not there) drops that event and is counted; nothing here or there changes a request.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from crds import durations
from crds.audit import AuditAction, AuditHeader, AuditRequest
from crds.problem import Problem
from policy.cel import compile_cel
from policy.go_templates import outline, parse_go_template
from policy.headers import HOP_BY_HOP
from policy.program import AuditHook, CelExpression, GoTemplate
from policy.reasons import Reason
from policy.report import Report, quoted
from policy.variables import AFTER, EVENT
from policy.webhook_urls import template_problem

DEEPEST = 32
DEFAULT_TIMEOUT = 2.0

NOT_SETTABLE = HOP_BY_HOP | {"host", "content-length", "trailer", "expect", "proxy-authorization", "proxy-authenticate"}
"""They say how a request is framed, where it goes, or are meant for a proxy."""

_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def compile_hooks(actions: Iterable[AuditAction], report: Report, inputs: frozenset[str]) -> tuple[AuditHook, ...]:
    """`inputs` are the names that the profile declares. A hook with a problem is left out."""
    compiled = (_hook(action, report.at(number), inputs) for number, action in enumerate(actions))
    return tuple(hook for hook in compiled if hook)


def _hook(action: AuditAction, report: Report, inputs: frozenset[str]) -> AuditHook | None:
    before = report.fatals
    request = action.webhook.request or AuditRequest()
    webhook = report.at("webhook")
    place = webhook.at("request")
    body = request.body
    url = _url(action.webhook.url, webhook.at("url"), inputs)
    hook = AuditHook(
        name=action.name,
        url=url or GoTemplate(text=""),
        when=_when(action.when, report.at("when"), inputs),
        method=request.method,
        headers=tuple(_header(header, place.at("headers").at(number), inputs) for number, header in enumerate(request.headers)),
        json=_json(body.json_, place.at("body").at("json"), inputs) if body and body.json_ is not None else None,
        text=_template(body.text, place.at("body").at("text"), inputs) if body and body.text is not None else None,
        timeout=_timeout(action.webhook.timeout, webhook.at("timeout")),
    )
    if hook.json is not None and hook.text is not None:
        place.at("body").fatal(Reason.CONFLICT, "a body is `json` or `text`: remove one")
    return hook if report.fatals == before else None


def _when(text: str, report: Report, inputs: frozenset[str]) -> CelExpression | None:
    if not text.strip():
        return None
    found = compile_cel(text, variables=AFTER, result="bool", inputs=inputs)
    if isinstance(found, Problem):
        report.add(found)
        return None
    return found


def _template(text: str, report: Report, inputs: frozenset[str]) -> GoTemplate | None:
    found = parse_go_template(text, fields=EVENT, inputs=inputs)
    if isinstance(found, Problem):
        report.add(found)
        return None
    return found


def _url(text: str, report: Report, inputs: frozenset[str]) -> GoTemplate | None:
    template = _template(text, report, inputs)
    if template:
        # Whether the sender's own loopback may be reached is its operator's decision, so it is judged there.
        wrong = template_problem(template, loopback=True)
        if wrong:
            report.fatal(Reason.INVALID_URL, f"no event can be sent there: {wrong}")
    return template


def _header(header: AuditHeader, report: Report, inputs: frozenset[str]) -> tuple[str, GoTemplate]:
    name = header.name.lower()
    if name in NOT_SETTABLE:
        report.at("name").fatal(Reason.RESERVED_HEADER, f"{quoted(name)} says how a request is framed or where it goes: remove it")
    template = _template(header.value, report.at("value"), inputs)
    if template and any(_CONTROLS.search(text) for text, _ in outline(template, EVENT)):
        report.at("value").fatal(Reason.INVALID_VALUE, "a header's value holds no line break or other control character: remove it")
    return name, template or GoTemplate(text="")


def _timeout(text: str, report: Report) -> float:
    wrong = durations.audit_timeout(text)
    if wrong:
        report.fatal(Reason.INVALID_VALUE, wrong)
    return float(durations.seconds(text) or DEFAULT_TIMEOUT)


def _json(document: Mapping[str, Any], report: Report, inputs: frozenset[str]) -> str | None:
    """One text for one document, whatever order its keys came in."""
    try:
        _leaves(document, report, inputs, DEEPEST)
        return json.dumps(document, allow_nan=False, separators=(",", ":"), sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        report.fatal(Reason.INVALID_VALUE, "this is no JSON: use objects with keys of text, lists, text, numbers, true, false and null")
        return None


def _leaves(value: Any, report: Report, inputs: frozenset[str], depth: int) -> None:
    if depth == 0:
        report.fatal(Reason.INVALID_VALUE, f"a body nests at most {DEEPEST} deep")
    elif isinstance(value, str):
        _template(value, report, inputs)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            _leaves(each, report.at(str(key)), inputs, depth - 1)
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            _leaves(each, report.at(number), inputs, depth - 1)
