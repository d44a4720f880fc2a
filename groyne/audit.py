"""Envoy's access log → audit records → the summary at the end of a run.

One record a request, or a tunnel whose inside is end-to-end. What comes in is JSON that Envoy wrote, so what a client sent is
escaped; rules and credentials are known by name only. Nothing here can hold a header's value or a query.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

Line = Mapping[str, Any]


NOT_SENT = frozenset({"AddressRefused", "CredentialUnavailable"})
"""Groyne's own refusals that Envoy only finds after it chose a route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """`verdict` is passthrough, mutated, blocked or bypassed; `rules` those that decided or whose change was sent on."""

    time: str
    verdict: str
    status: int
    scheme: str
    method: str
    host: str
    path: str
    rules: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()
    reason: str = ""
    request_id: str = ""
    milliseconds: int = 0
    engine: str = "native"

    def as_json(self) -> str:
        fields = {name: getattr(self, name) for name in self.__slots__}
        return json.dumps(fields, ensure_ascii=True, separators=(",", ":"))


def records(lines: Iterable[str], credentials: Mapping[str, str]) -> Iterator[Record]:
    """`credentials` maps a rule's id to the name of its credential. A line that is no JSON object is passed over."""
    for text in lines:
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict) and (record := record_of(line, credentials)):
            yield record


def record_of(line: Line, credentials: Mapping[str, str]) -> Record | None:
    if "chain" in line:
        return connection(line)
    verdict, *parts = route(line)
    if verdict == "tunnel" and (parts[:1] == ["intercept"] or line.get("status") != 200):
        return None
    if verdict == "tunnel" and len(parts) > 1:
        verdict, parts = "bypassed", parts[1:]
    acted = actions(line)
    reason = parts[-1] if verdict in ("refused", "blocked") and parts else failure(line)
    rules = tuple(dict.fromkeys(rule for _, rule in acted))
    if verdict in ("blocked", "bypassed") and parts and parts[0]:
        rules = (parts[0],) if verdict == "blocked" else (*rules, parts[0])
    return Record(
        time=str(line.get("time", "")),
        verdict=outcome("blocked" if reason in NOT_SENT else verdict, acted),
        status=int(line.get("status") or 0),
        scheme=str(line.get("scheme", "")),
        method=str(line.get("method") or ""),
        host=str(line.get("authority") or ""),
        path=str(line.get("path") or ""),
        rules=rules,
        credentials=tuple(dict.fromkeys(credentials[rule] for kind, rule in acted if kind == "credential" and rule in credentials)),
        reason=reason,
        request_id=str(line.get("id") or ""),
        milliseconds=int(line.get("ms") or 0),
    )


def connection(line: Line) -> Record | None:
    """A connection inside a tunnel is worth a record of its own only where it was refused: its requests have theirs."""
    details, chain = str(line.get("details") or ""), line.get("chain")
    if details.startswith("rbac_access_denied"):
        reason = "ServerNameMismatch"
    elif not chain:
        reason = "NotJudgeable"
    elif "UNKNOWN_CA" in str(line.get("tls") or "").upper() or "CERTIFICATE" in str(line.get("tls") or "").upper():
        reason = "ClientRefusedCertificate"
    else:
        return None
    return Record(
        time=str(line.get("time", "")), verdict="blocked", status=0, scheme="tcp", method="", host=str(line.get("tunnel") or ""), path="",
        reason=reason, milliseconds=int(line.get("ms") or 0),
    )  # fmt: skip


def route(line: Line) -> list[str]:
    """What `dataplane.refusals.route_name` wrote; a request that Envoy refused before any route has none."""
    try:
        parts = json.loads(line.get("route") or "")
    except ValueError:
        return ["refused", "MalformedRequest"]
    return [str(part) for part in parts] if isinstance(parts, list) and parts else ["refused", "MalformedRequest"]


def actions(line: Line) -> list[tuple[str, str]]:
    acted = line.get("acted")
    if not isinstance(acted, dict):
        return []
    return [(kind, rule) for kind, _, rule in (str(name).partition(":") for name in acted.values()) if rule]


def outcome(verdict: str, acted: list[tuple[str, str]]) -> str:
    match verdict:
        case "blocked" | "refused":
            return "blocked"
        case "bypassed":
            return "bypassed"
        case _:
            return "mutated" if acted else "passthrough"


def failure(line: Line) -> str:
    """Why something that no rule refused did not reach its host."""
    details = str(line.get("details") or "")
    if details.startswith("dns_resolution_failure"):
        return "AddressRefused"
    if details == "failed_to_inject_credential":
        return "CredentialUnavailable"
    if details.startswith(("upstream_reset_before_response", "connection_failure", "upstream_response_timeout")):
        return "UpstreamUnreachable"
    return ""


@dataclass(slots=True)
class Row:
    """What happened to one host under one verdict."""

    requests: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    credentials: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Summary:
    """Requests by host and verdict, bounded: beyond `most` hosts the rest is counted together."""

    most: int = 1000
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        key = (record.host, record.verdict)
        if key not in self.rows and len(self.rows) >= self.most:
            key = ("(other hosts)", record.verdict)
        row = self.rows.setdefault(key, Row())
        row.requests += 1
        row.rules.update(record.rules)
        row.credentials.update(record.credentials)
        row.reasons.update([record.reason] if record.reason else [])

    @property
    def refused(self) -> int:
        return sum(row.requests for (_, verdict), row in self.rows.items() if verdict == "blocked")

    def as_json(self) -> list[dict[str, Any]]:
        return [
            {
                "host": host,
                "verdict": verdict,
                "requests": row.requests,
                "rules": sorted(row.rules),
                "credentials": sorted(row.credentials),
                "reasons": sorted(row.reasons),
            }
            for (host, verdict), row in sorted(self.rows.items())
        ]


@dataclass(slots=True)
class Audit:
    """Follows the access log: `catch_up` reads what was added, writes audit lines and counts."""

    log: TextIO
    out: TextIO | None = None
    summary: Summary = field(default_factory=Summary)
    _partial: str = ""

    def catch_up(self, credentials: Mapping[str, str]) -> None:
        text = self._partial + self.log.read()
        *lines, self._partial = text.split("\n")
        for record in records(lines, credentials):
            self.summary.add(record)
            if self.out:
                self.out.write(record.as_json() + "\n")
        if self.out and lines:
            self.out.flush()
