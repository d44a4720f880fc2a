"""Metrics of ext-proc, prefix `groyne_extproc_`: what was decided, how long it took, who issued what, how old the snapshot is.

Labels are fixed words: never a host, a path, a rule, or anything that a client or a provider said.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from daemon.process_metrics import ProcessMetrics
from extproc.lookups import LOOKUPS
from extproc.stream import Resolved
from policy.finish import NOT_ISSUED
from policy.program import Rule
from policy.verdict import Outcome

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
ACTIONS = ("bypass", "block", "mcpToolPolicy", "headerManipulation", "tokenTransformation")
REASONS = frozenset(
    {
        "Blocked", "ToolDenied", "CredentialUnavailable", "NoSnapshot", "IdentityUnknown", "BodyNotRead", "MalformedHost",
        "MalformedHeader", "MalformedPath", "MalformedMethod", "AmbiguousPath", "EscapedSlash", "RepeatedHeaders", "BodyBeforeHeaders",
    }
)  # fmt: skip
OTHER = "other"
NO_ACTION = "none"


class ExtprocMetrics(ProcessMetrics):
    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"groyne_extproc_{name}", text, labels, registry=registry)

        self._requests = counter("requests", "Requests by what became of them.", "outcome")
        self._refusals = counter("refusals", "Requests refused, by reason.", "reason")
        self._actions = counter("actions", "Actions of rules that matched, by what became of the request.", "action", "outcome")
        self._unattributed = counter("unauthenticated_requests", "Requests that nobody could tell whose they are.", "reason", "outcome")
        self._credentials = counter("credential_failures", "Credentials that were wanted and not to be had, by reason.", "reason")
        self._cache = counter("credential_cache", "Look-ups of issued credentials.", "result")
        self._spans = counter("spans", "Spans of traces: sent, or dropped because the collector took none or too many waited.", "result")
        self._errors = counter("stream_errors", "Streams that ended with an error.")
        self._seconds = Histogram(
            "groyne_extproc_decision_seconds", "From a request's headers to the answer.", registry=registry, buckets=SECONDS
        )
        self._provider = Histogram(
            "groyne_extproc_provider_seconds", "How long providers took.", ("outcome",), registry=registry, buckets=SECONDS
        )
        self._open = 0
        Gauge("groyne_extproc_streams", "Streams that are open.", registry=registry).set_function(lambda: self._open)
        self._profiles = Gauge("groyne_extproc_snapshot_profiles", "Profiles in force.", registry=registry)
        self._swaps = counter("snapshot_swaps", "Snapshots put in force.")
        self._age = Gauge("groyne_extproc_snapshot_age_seconds", "Since the snapshot in force was made.", registry=registry)
        for outcome in Outcome:
            self._requests.labels(outcome.value)
        self._done = {(name, each): self._actions.labels(name, each.value) for name in (*ACTIONS, NO_ACTION) for each in Outcome}
        self._plain = {outcome: self._requests.labels(outcome.value) for outcome in Outcome}

    def resolved(self, outcome: Resolved) -> None:
        verdict = outcome.verdict
        self._plain[verdict.outcome].inc()
        if verdict.outcome is Outcome.BLOCKED:
            self._refusals.labels(verdict.reason if verdict.reason in REASONS else OTHER).inc()
        for rule in outcome.walked.matched if outcome.walked else ():
            self._done[action(rule), verdict.outcome].inc()
        for _, why in verdict.failed:
            # Whoever asked a provider in vain has counted that, with more to say.
            if why != NOT_ISSUED:
                self.credential_failed(why)

    def turned_away(self, reason: str) -> None:
        """Refused before any rule, and before it was known whose request it is."""
        self._plain[Outcome.BLOCKED].inc()
        self._refusals.labels(reason if reason in REASONS else OTHER).inc()

    def unattributed(self, reason: str, outcome: str) -> None:
        self._unattributed.labels(reason, outcome).inc()

    def credential_failed(self, reason: str) -> None:
        self._credentials.labels(reason).inc()

    def looked_up(self, result: str) -> None:
        self._cache.labels(result).inc()
        noted = LOOKUPS.get()
        if noted is not None:
            noted.append(result)

    def spans_sent(self, spans: int) -> None:
        self._spans.labels("sent").inc(spans)

    def spans_dropped(self, spans: int) -> None:
        self._spans.labels("dropped").inc(spans)

    def fetched(self, outcome: str, seconds: float) -> None:
        self._provider.labels(outcome).observe(seconds)

    def decided(self, seconds: float) -> None:
        self._seconds.observe(seconds)

    def stream_error(self) -> None:
        self._errors.inc()

    def stream(self, change: int) -> None:
        self._open += change

    def swapped(self, profiles: int, age: Callable[[], float]) -> None:
        self._swaps.inc()
        self._profiles.set(profiles)
        self._age.set_function(age)


def action(rule: Rule) -> str:
    """The first of a rule's actions, in their order."""
    present = (rule.bypass, rule.block, rule.mcp, rule.headers, rule.token or rule.exchange)
    return next((name for name, found in zip(ACTIONS, present, strict=True) if found), NO_ACTION)
