"""What `check` says of hosts passed through unread: rules of other profiles that lose sight there, and annotations without effect.

A profile's own rules are judged when it compiles. Which other profiles it meets only shows in a plan; whose annotation
counts there is `dataplane.interception`'s to decide.
"""

from collections.abc import Iterable, Iterator

from controller.compile.template import passthrough
from crds import Problem
from crds.annotations import PASSTHROUGH_DOMAINS
from crds.paths import render
from dataplane.compile import Plan, make_plan
from dataplane.interception import Handling
from groyne.at_rule import at_rule
from groyne.workspace import Workspace
from manifests.load import Manifests
from manifests.located import LocatedProblem
from policy.domains import DomainPattern
from policy.template_identity import template_identity

PLACE = render(("metadata", "annotations", PASSTHROUGH_DOMAINS))


def passthrough_notes(manifests: Manifests, plan: Plan) -> Iterator[LocatedProblem]:
    yield from unread_rules(manifests, plan)
    yield from untold_rules(manifests, plan)
    for profile in plan.selection.profiles:
        loaded = manifests.profiles.get((profile.ref.namespace, profile.ref.name))
        if loaded and loaded.kind == profile.ref.kind:
            yield from (loaded.locate(problem) for problem in overruled(plan, profile.passthrough_domains))


def template_passthrough_notes(workspace: Workspace) -> Iterator[LocatedProblem]:
    for loaded in workspace.manifests.templates.values():
        if own := passthrough(loaded.object):
            plan = make_plan(workspace.program.select(template_identity(loaded.object)), own)
            yield from (loaded.locate(problem) for problem in overruled(plan, own))


def unread_rules(manifests: Manifests, plan: Plan) -> Iterator[LocatedProblem]:
    own = {rule.id: profile for profile in plan.selection.profiles for rule in profile.rules}
    rules = {rule.id: rule for rule in plan.selection.rules}
    blind: dict[str, list[str]] = {}
    for host in plan.hosts:
        for name in host.unread:
            if not any(domain.covers(host.pattern) for domain in own[name].passthrough_domains):
                blind.setdefault(name, []).append(host.pattern.text)
    for name, hosts in blind.items():
        passed = f"another profile's annotation `{PASSTHROUGH_DOMAINS}` passes TLS to {named(hosts)} through unread"
        message = f"{passed}: there this rule only sees plain HTTP"
        yield at_rule(manifests, rules[name], Problem(reason="NotInspected", message=message, fatal=False))


def untold_rules(manifests: Manifests, plan: Plan) -> Iterator[LocatedProblem]:
    """Webhooks of rules for every host: those hosts that somebody names are looked into, no others can be."""
    rules = {rule.id: rule for rule in plan.selection.rules}
    message = (
        "no certificate can name every host, so TLS to hosts that no rule names passes through unread and nobody is told of the"
        " requests in it: name the hosts whose requests must be told"
    )
    for name in dict.fromkeys(name for host in plan.hosts for name in host.untold):
        yield at_rule(manifests, rules[name], Problem(reason="NotInspected", message=message, fatal=False))


def overruled(plan: Plan, domains: Iterable[DomainPattern]) -> Iterator[Problem]:
    """The annotation's hosts that are looked into all the same."""
    covered = tuple(domains)
    hosts = [h for h in plan.hosts if h.handling is not Handling.PASS and any(domain.covers(h.pattern) for domain in covered)]
    if not hosts:
        return
    of_global = {rule.id for rule in plan.selection.rules if rule.of_global}
    because = sorted({name for host in hosts for name in host.because} & of_global)
    message = (
        f"TLS to {named([host.pattern.text for host in hosts])} is looked into all the same: {named(because)} must read the request, "
        "and rules of a GlobalSecurityProfile are only exempted by a Global profile's own annotation"
    )
    yield Problem(reason="PassthroughOverruled", message=message, field=PLACE, fatal=False)


def named(texts: list[str], most: int = 5) -> str:
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(f"`{text}`" for text in texts[:most]) + more
