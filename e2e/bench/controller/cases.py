"""What there is to be done, and how quickly it has to be: templates alone, with profiles that intercept nothing, with such that do.

Every template has a label of its own and, but for `POLICIES`, a profile that selects it alone, so that nothing is cheap because it is shared.
"""

from dataclasses import dataclass
from typing import Any

from e2e.bench.policies import Raw, block, credential, profile, rule

NAMESPACE = "bench"
POLICIES, PLAIN, INTERCEPTED = "policies", "plain", "intercepted"
TOKEN_SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "bench", "namespace": NAMESPACE},
    "stringData": {"apiKey": "token"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`limit` in seconds, from the process's start to the last object; `like` is the case whose time for one template counts instead.

    `cpu` in milliseconds of the controller's processor time for one template, its start included; `lag` in seconds that the event loop may
    be late.
    """

    name: str
    kind: str
    count: int
    limit: float | None = None
    cpu: float | None = None
    like: str = ""
    edits: int = 0
    edit_limit: float = 0.3
    megabytes: float | None = None
    lag: float | None = None
    floor: bool = False

    @property
    def profiles(self) -> int:
        return 0 if self.kind == POLICIES else self.count

    @property
    def title(self) -> str:
        number = f"{self.count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
        return f"{number} templates{TITLES[self.kind]}"


TITLES = {POLICIES: "", PLAIN: ", profiles, Secrets", INTERCEPTED: ", profiles, intercepting Secrets"}
MOST_OF_LIKE = 1.5

NORMAL = (
    Case(name="policies", kind=POLICIES, count=1000, limit=5, megabytes=200, lag=0.25, floor=True),
    Case(name="plain", kind=PLAIN, count=1000, limit=15, edits=200, megabytes=200, lag=0.25),
    Case(name="intercepted", kind=INTERCEPTED, count=1000, limit=40, edits=200, megabytes=200, lag=0.25),
)
# Three times what was seen, and more of what swings with the machine: what is slower still is not the weather.
QUICK = (
    Case(name="policies", kind=POLICIES, count=100, limit=60, cpu=40, megabytes=200, lag=2.5, floor=True),
    Case(name="plain", kind=PLAIN, count=100, limit=60, cpu=80, edits=20, edit_limit=5, megabytes=200, lag=2.5),
    Case(name="intercepted", kind=INTERCEPTED, count=100, limit=90, cpu=120, edits=20, edit_limit=5, megabytes=200, lag=2.5),
)
FULL = (
    *NORMAL,
    Case(name="policies-10", kind=POLICIES, count=10_000, like="policies"),
    Case(name="plain-10", kind=PLAIN, count=10_000, like="plain"),
)


def template_of(number: int) -> Raw:
    container = {"name": "agent", "image": "registry.example.com/agents/python:3.11", "resources": {"limits": {"memory": "1Gi"}}}
    pod = {"metadata": {"labels": {"app": f"agent-{number}", "team": "bench"}}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "extensions.agents.x-k8s.io/v1beta1",
        "kind": "SandboxTemplate",
        "metadata": {"name": f"agent-{number}", "namespace": NAMESPACE},
        "spec": {"podTemplate": pod},
    }


def profile_of(number: int, kind: str, *, edition: str = "first") -> Raw:
    """`edition` goes into its rule, and so into the Secret."""
    host = f"api-{number}.example.com"
    only = rule("key", credential("x-key"), host, paths=[{"type": "Prefix", "value": f"/{edition}/"}]) if kind == INTERCEPTED else None
    made = profile(f"agent-{number}", [only or rule("closed", block(), f"{edition}.{host}")])
    spec: dict[str, Any] = {**made["spec"], "selector": {"matchLabels": {"app": f"agent-{number}"}}}
    return {**made, "metadata": {**made["metadata"], "namespace": NAMESPACE}, "spec": spec}
