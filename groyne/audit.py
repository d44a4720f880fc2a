"""Envoy's access log → audit records → the summary at the end of a run.

One record a request, one a tunnel whose inside is end-to-end, one a connection that was refused. What comes in is JSON that
Envoy wrote, so what a client sent is escaped; rules and credentials are known by name only. Nothing here can hold a header's
value or a query.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TextIO

Line = Mapping[str, Any]


NOT_SENT = frozenset(
    {"AddressRefused", "CredentialUnavailable", "ExtProcUnavailable", "HostMismatch", "MalformedRequest", "UpgradeRefused"}
)
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
    """A CONNECT that was admitted has no record: what came through it has."""
    if "chain" in line:
        return connection(line)
    verdict, *parts = route(line)
    if verdict == "tunnel" and line.get("status") == 200:
        return None
    engine = "extproc" if verdict == "extproc" else "native"
    if engine == "extproc":
        verdict, *parts = decided(line)
    acted = actions(line)
    reason = parts[-1] if verdict in ("refused", "blocked") and parts else failure(line)
    if reason in NOT_SENT:
        verdict, parts, acted = "refused", [], []
    rules = tuple(dict.fromkeys(rule for _, rule in acted))
    if verdict in ("blocked", "bypassed") and parts and parts[0]:
        rules = (parts[0],) if verdict == "blocked" else (*rules, parts[0])
    return Record(
        time=str(line.get("time", "")),
        verdict=outcome(verdict, acted),
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
        engine=engine,
    )


def connection(line: Line) -> Record | None:
    """What came through a CONNECT: end-to-end TLS or raw bytes, or why they did not go on. HTTP in it is recorded by its requests."""
    _, handling, *bypass = [*route(line), "", ""][:3]
    reason = refused_connection(line, handling)
    if reason is None and (handling != "pass" or line.get("chain") not in ("tls", "raw")):
        return None
    unreachable = "" if reason or not failed_to_connect(line) else "UpstreamUnreachable"
    rules = () if reason else tuple(filter(None, bypass))
    return Record(
        time=str(line.get("time", "")), verdict="blocked" if reason else "bypassed" if rules else "passthrough",
        status=0 if reason or unreachable else 200, scheme="https" if line.get("chain") == "tls" else "tcp", method="CONNECT",
        host=authority(line), path="", rules=rules, reason=reason or unreachable, milliseconds=int(line.get("ms") or 0),
    )  # fmt: skip


def refused_connection(line: Line, handling: str) -> str | None:
    """A client that leaves by itself before anything was decided is not refused."""
    chain, tls, flags = line.get("chain"), str(line.get("tls") or "").upper(), str(line.get("flags") or "-")
    details = str(line.get("details") or "")
    if not chain:
        return "NotJudgeable" if tls or flags != "-" else None
    if details.startswith("rbac_access_denied"):
        return "NotJudgeable" if chain == "raw" else "ServerNameMismatch"
    if chain == "tls" and handling == "intercept":
        return failed_handshake(details, tls) if line.get("handshake") is None else None
    return "AddressRefused" if "UH" in flags.split(",") else None


def failed_handshake(details: str, tls: str) -> str | None:
    if details.startswith("transport socket timeout"):
        return "HandshakeTimeout"
    if "SSL_ROUTINES" not in tls:
        return None
    return "ClientRefusedCertificate" if any(word in tls for word in CERTIFICATE_ALERTS) else "HandshakeFailed"


CERTIFICATE_ALERTS = ("UNKNOWN_CA", "CERTIFICATE", "BAD_PACKET_LENGTH")
"""The last is what is left of an alert that a TLS 1.3 client sends in the clear because it does not like what it was shown."""


def failed_to_connect(line: Line) -> bool:
    return bool({"UF", "URX"} & set(str(line.get("flags") or "").split(",")))


def refused_at_the_door(reason: str, now: datetime) -> Record:
    """A connection to the proxy that was refused unread: nobody knows where it meant to go."""
    time = now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03}Z"
    return Record(time=time, verdict="blocked", status=0, scheme="tcp", method="", host="", path="", reason=reason)


def authority(line: Line) -> str:
    host, port = str(line.get("tunnel") or ""), str(line.get("port") or "")
    shown = f"[{host}]" if ":" in host else host
    return f"{shown}:{port}" if port else shown


def route(line: Line) -> list[str]:
    """What `dataplane.refusals.route_name` wrote; a request that Envoy refused before any route has none."""
    try:
        parts = json.loads(line.get("route") or "")
    except ValueError:
        parts = None
    return [str(part) for part in parts] if isinstance(parts, list) and parts else ["refused", unrouted(line)]


def unrouted(line: Line) -> str:
    details = str(line.get("details") or "")
    if details == "request_header_timeout":
        return "RequestTimeout"
    return "RequestTooLarge" if "too_large" in details or "too_many" in details else "MalformedRequest"


def decided(line: Line) -> list[str]:
    """What ext-proc said of its decision, as a route of Envoy's own would say it. It may have ended before it said anything."""
    told = line.get("decided")
    told = told if isinstance(told, dict) else {}
    verdict, rule, reason = (str(told.get(key) or "") for key in ("verdict", "rule", "reason"))
    if verdict == "blocked":
        return ["blocked" if rule else "refused", *filter(None, (rule,)), reason]
    return [verdict or "refused", *([rule] if verdict == "bypassed" else [] if verdict else [failure(line)])]


def actions(line: Line) -> list[tuple[str, str]]:
    told = line.get("decided")
    acted = {"extproc": told.get("acted") or ""} if isinstance(told, dict) else unquoted(line.get("acted"))
    lines = (each for name in acted.values() for each in str(name).split("\n"))
    return [(kind, rule) for kind, _, rule in (each.partition(":") for each in lines) if rule]


def unquoted(acted: object) -> Mapping[str, object]:
    try:
        found = json.loads(str(acted or "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def outcome(verdict: str, acted: list[tuple[str, str]]) -> str:
    match verdict:
        case "blocked" | "refused":
            return "blocked"
        case "bypassed" | "mutated" | "passthrough":
            return verdict
        case _:
            return "mutated" if acted else "passthrough"


FAILURES = (
    ("ext_proc_error", "ExtProcUnavailable"),
    ("rbac_access_denied", "ExtProcUnavailable"),
    ("header_mutation_", "ExtProcUnavailable"),
    ("spurious_message", "ExtProcUnavailable"),
    ("request_payload_too_large", "RequestTooLarge"),
    ("dns_resolution_failure", "AddressRefused"),
    ("failed_to_inject_credential", "CredentialUnavailable"),
    ("upgrade_failed", "UpgradeRefused"),
    ("http1.", "MalformedBody"),
    ("http2.", "MalformedBody"),
    ("codec_error", "MalformedBody"),
    ("upstream_reset_before_response", "UpstreamUnreachable"),
    ("connection_failure", "UpstreamUnreachable"),
    ("upstream_response_timeout", "UpstreamUnreachable"),
)
"""How Envoy's details of an answer begin. A body is found to be none when its request may be on its way already."""


def failure(line: Line) -> str:
    """Why something that no rule refused did not reach its host."""
    details = str(line.get("details") or "")
    if details == "lua_response":
        return "HostMismatch" if line.get("status") == 421 else "MalformedRequest"
    return next((reason for beginning, reason in FAILURES if details.startswith(beginning)), "")


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
            self.add(record)
        if self.out:
            self.out.flush()

    def add(self, record: Record) -> None:
        self.summary.add(record)
        if self.out:
            self.out.write(record.as_json() + "\n")
