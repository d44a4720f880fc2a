"""What the port answers: a target and what the client accepts in, status and body out. No sockets, no loop.

    /healthz   200 while the event loop beats; else this process is beyond help and may be restarted
    /readyz    200 while every check passes; the body says which do not, and why
    /metrics   the registry, as Prometheus' text or OpenMetrics

The forms are those of Kubernetes' own components: `ok`, a list with `?verbose`; and JSON for those who ask for it. Reasons are
shown to whoever reaches the port: they name kinds and namespaces, and never hold what an object says.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from daemon.heartbeat import Heartbeat
from daemon.redaction import clean

Check = Callable[[], str | None]
LONGEST_SILENCE = 30.0
"""Twice the Lease: a leader that comes back sooner has lost its Lease and ends by itself."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: HTTPStatus
    content_type: str = "text/plain; charset=utf-8"
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`reason` is empty where the check passes."""

    name: str
    reason: str = ""


class Checks:
    """Named reasons not to be ready. A check is asked by the port's threads: it looks at something and waits for nothing."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._lock = threading.Lock()

    def add(self, name: str, check: Check) -> None:
        """None: it passes; a text: why it does not. A name that is there already is replaced."""
        with self._lock:
            self._checks[name] = check

    def remove(self, name: str) -> None:
        with self._lock:
            self._checks.pop(name, None)

    def findings(self) -> tuple[Finding, ...]:
        with self._lock:
            checks = list(self._checks.items())
        return tuple(Finding(name=name, reason=outcome(name, check)) for name, check in checks)


def outcome(name: str, check: Check) -> str:
    try:
        reason = check()
    except Exception as error:
        log.exception("a readiness check failed to answer", extra={"check": name})
        return f"the check itself failed: {type(error).__name__}"
    return "" if reason is None else " ".join(clean(reason).split()) or "failed"


class Health:
    def __init__(
        self, *, checks: Checks, heartbeat: Heartbeat, registry: CollectorRegistry, longest_silence: float = LONGEST_SILENCE
    ) -> None:
        self._checks = checks
        self._heartbeat = heartbeat
        self._registry = registry
        self._longest_silence = longest_silence

    def answer(self, target: str, accept: str) -> Answer:
        try:
            url = urlsplit(target)
        except ValueError:
            return plain(HTTPStatus.BAD_REQUEST, "this is no path")
        match url.path:
            case "/healthz":
                return report("healthz", [self.loop()], url.query, accept)
            case "/readyz":
                return report("readyz", [self.loop(), *self._checks.findings()], url.query, accept)
            case "/metrics":
                return self.metrics(accept)
        return plain(HTTPStatus.NOT_FOUND, "there are /healthz, /readyz and /metrics")

    def loop(self) -> Finding:
        silence = self._heartbeat.silence()
        stuck = silence > self._longest_silence
        return Finding(name="loop", reason=f"the event loop has not moved for {silence:.0f} s" if stuck else "")

    def metrics(self, accept: str) -> Answer:
        encode, content_type = choose_encoder(accept)
        return Answer(status=HTTPStatus.OK, content_type=content_type, body=encode(self._registry))


def plain(status: HTTPStatus, text: str) -> Answer:
    return Answer(status=status, body=f"{text}\n".encode())


def report(endpoint: str, findings: Iterable[Finding], query: str, accept: str) -> Answer:
    found = list(findings)
    well = not any(finding.reason for finding in found)
    status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
    if "application/json" in accept:
        checks = [{"name": finding.name, "ok": not finding.reason, "reason": finding.reason} for finding in found]
        body = json.dumps({"status": "ok" if well else "failed", "checks": checks})
        return Answer(status=status, content_type="application/json", body=f"{body}\n".encode())
    if well and "verbose" not in parse_qs(query, keep_blank_values=True, max_num_fields=20):
        return Answer(status=status, body=b"ok")
    lines = [f"[-]{finding.name} failed: {finding.reason}" if finding.reason else f"[+]{finding.name} ok" for finding in found]
    return plain(status, "\n".join([*lines, f"{endpoint} check {'passed' if well else 'failed'}"]))
