"""The programs that are compared: none, two rules, rules on a thousand other hosts, two hundred rules on the one host.

Manifests as users write them, so that what is measured is what the product makes of a file. The benched request passes all of
them: it is the one that has to look at every rule.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

Raw = dict[str, Any]
HOST = "api.bench.test"
PATH = "/v1/projects/42/items?page=7"
SECRET = "bench"
TOKEN = "bench-token-that-opens-nothing"
HEADERS = {
    "user-agent": "bench/1.0",
    "accept": "application/json",
    "accept-encoding": "gzip, deflate",
    "authorization": "Bearer placeholder",
    "x-team": "harbour",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`target` is the least ratio to no policy within the same run; None where it is only information.

    `acts` is how many changes the rules make to the benched request: who makes none is fast for nothing. `transport`: who speaks
    HTTP/2 for ext-proc, where rules need it. `p50`: so many times as long as without a policy may half of the requests take.
    """

    name: str
    title: str
    profiles: tuple[Raw, ...] = ()
    target: float | None = None
    tls: bool = False
    against: str = "none"
    acts: int = 0
    transport: str = ""
    p50: float | None = None


def rule(name: str, actions: Raw, host: str = HOST, **match: Any) -> Raw:
    return {"name": name, "match": [{"domains": [host], **match}], "actions": actions}


def profile(name: str, rules: list[Raw]) -> Raw:
    return {
        "apiVersion": "agents.kruise.io/v1alpha1",
        "kind": "SecurityProfile",
        "metadata": {"name": name},
        "spec": {"selector": {}, "rules": rules},
    }


def path(kind: str, value: str) -> list[Raw]:
    return [{"type": kind, "value": value}]


def block(status: int = 403) -> Raw:
    return {"block": {"statusCode": status}}


def credential(header: str | None = None) -> Raw:
    target = {"targetHeader": header} if header else {}
    key = {"valueTemplate": "Bearer {{ .Token }}"}
    return {"tokenTransformation": {"credentialRef": {"secret": {"name": SECRET}}, "apiKey": {**key, **target}}}


def issued() -> Raw:
    """A credential that a provider issues, and ext-proc then remembers."""
    source = {"credentialProvider": {"name": "vault"}}
    return {"tokenTransformation": {"credentialRef": source, "apiKey": {"valueTemplate": "Bearer {{ .Token }}"}}}


def stamp(name: str, value: str) -> Raw:
    return {"headerManipulation": {"set": [{"name": name, "value": value}]}}


def two_rules(host: str = HOST) -> list[Raw]:
    return [
        rule("no-deleting", block(), host, paths=path("Prefix", "/v1/admin/"), methods=["DELETE"]),
        rule("key", credential(), host, paths=path("Prefix", "/v1/")),
    ]


def other_hosts(count: int, pattern: str) -> list[Raw]:
    """Every second a block, every second a credential."""
    return [rule(f"other-{n}", block() if n % 2 else credential(), pattern.format(n), paths=path("Prefix", "/v1/")) for n in range(count)]


def crowded_host(scale: int = 20) -> Iterator[Raw]:
    """Ten kinds of rule, `scale` of each, of which the request meets the last of each kind that changes it."""
    for n in range(scale):
        last = n == scale - 1
        yield rule(f"prefix-{n}", block(), paths=path("Prefix", f"/v1/closed-{n}/"))
        yield rule(f"exact-{n}", block(), paths=path("Exact", f"/v2/status/{n}"), methods=["GET", "POST"])
        yield rule(f"regex-{n}", block(), paths=path("Regex", f"^/v[0-9]+/secret-{n}/[a-z]+$"))
        yield rule(f"header-{n}", block(), headers=[{"name": f"x-refused-{n % 5}", "value": f"yes-{n}"}])
        yield rule(f"agent-{n}", block(), headers=[{"name": "user-agent", "type": "Regex", "value": f"crawler/{n}\\."}])
        yield rule(f"query-{n}", block(), queryParams=[{"name": f"debug{n % 5}", "value": f"{n}"}])
        yield rule(f"stamp-{n}", stamp("x-stamp", f"{n}"), paths=path("Prefix", "/v1/" if last else f"/stamped-{n}/"))
        yield rule(f"mark-{n}", stamp(f"x-mark-{n % 10}", f"{n}"), paths=path("Prefix", "/v1/" if last else f"/marked-{n}/"))
        yield rule(f"method-{n}", block(405), paths=path("Prefix", f"/v1/projects/{1000 + n}/"), methods=["PUT", "PATCH"])
        yield rule(f"key-{n}", credential(), paths=path("Prefix", "/v1/" if last else f"/keyed-{n}/"))


def scenarios() -> tuple[Scenario, ...]:
    two = (profile("two", two_rules()),)
    exact = (profile("exact", other_hosts(1000, "host-{}.other.test")),)
    wildcard = (profile("wildcard", other_hosts(1000, "*.zone-{}.other.test")),)
    crowd = (profile("crowd", list(crowded_host())),)
    asked = (profile("asked", [rule("vault", {**stamp("x-stamp", "1"), **issued()}, paths=path("Prefix", "/v1/"))]),)
    return (
        Scenario(name="none", title="no policy"),
        Scenario(name="two", title="one block and one credential rule", profiles=two, target=0.85, acts=1),
        Scenario(name="others-exact", title="1 000 rules on 1 000 other hosts", profiles=exact, target=0.80),
        Scenario(name="others-wildcard", title="1 000 rules on 1 000 other wildcards", profiles=wildcard, target=0.80),
        Scenario(name="crowd", title="200 rules on the one host", profiles=crowd, target=0.60, acts=3),
        Scenario(name="ext-proc", title="ext-proc decides each request", profiles=asked, target=0.18, acts=2, transport="h2corn", p50=6.6),
        Scenario(name="ext-proc-grpcio", title="the same, by grpcio", profiles=asked, acts=2, transport="grpcio"),
        Scenario(name="none-tls", title="TLS passed through, no policy", tls=True),
        Scenario(name="two-tls", title="intercepted: one block, one credential", profiles=two, tls=True, acts=1, against="none-tls"),
        Scenario(name="crowd-tls", title="intercepted: 200 rules on the one host", profiles=crowd, tls=True, acts=3, against="none-tls"),
    )


def many_profiles(profiles: int, rules: int) -> list[Raw]:
    """A host for each profile; its rules are the first of a crowd."""
    return [
        profile(f"team-{n}", [moved(raw, f"team-{n}.bench.test") for raw in list(chain(crowded_host(1)))[:rules]]) for n in range(profiles)
    ]


def moved(raw: Raw, host: str) -> Raw:
    return {**raw, "match": [{**entry, "domains": [host]} for entry in raw["match"]]}
