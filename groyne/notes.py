"""What `check` says although nothing is wrong: where a credential stays readable in spite of the policy, or a host out of reach.

A note is not fatal and does not make `check` fail. Values that stand in a manifest or a file need none: a run hides them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from crds import Problem
from crds.annotations import VALUE_FROM, Source, read
from crds.paths import render
from dataplane.compile import Plan
from dataplane.hosts import covering_texts
from dataplane.interception import Handling
from groyne.at_rule import at_rule
from manifests.load import Manifests
from manifests.located import LocatedProblem
from policy.program import Match, Rule, Selection
from policy.report import quoted

SOURCE_REACHABLE = "SourceReachable"
OVER_PLAIN_HTTP = "CredentialOverPlainHttp"
DEEP_NAMES = "DeepNamesUnreachable"
NOTES = frozenset({SOURCE_REACHABLE, OVER_PLAIN_HTTP, DEEP_NAMES})
PLAIN_HTTP = Problem(
    reason=OVER_PLAIN_HTTP,
    message="the credential would also be sent by plain http, where everybody on the way reads it: add `schemes: [https]`",
    fatal=False,
)


def source_notes(manifests: Manifests) -> Iterator[LocatedProblem]:
    """Secrets whose value a command prints: what runs inside may know how to ask the same store."""
    for loaded in manifests.secrets.values():
        for key, source in read(loaded.object.metadata.annotations).value_from.items():
            if source.source is not Source.EXEC:
                continue
            message = (
                f"{quoted(source.command[0])} prints this value, and the store that it reads stays readable for what runs under"
                " `groyne run`: lock that store, or use `env:` or `file:`, which are hidden then"
            )
            place = render(("metadata", "annotations", VALUE_FROM + key))
            yield loaded.locate(Problem(reason=SOURCE_REACHABLE, message=message, field=place, fatal=False))


def plain_http_notes(manifests: Manifests, selection: Selection) -> Iterator[LocatedProblem]:
    """Credential rules that also hold for http, where the key would travel in the clear."""
    refused = _Refused()
    for profile in selection.profiles:
        own = _Refused(hosts=set(refused.hosts))
        for rule in profile.rules:
            if (rule.token or rule.exchange) and (entry := next((e for e in rule.match if not (e.schemes or own.covers(e))), None)):
                yield at_rule(manifests, rule, replace(PLAIN_HTTP, field=f"match[{rule.match.index(entry)}]"))
            own.add(rule)
        if not profile.selector.requirements:
            refused = own


def deep_name_notes(manifests: Manifests, plan: Plan) -> Iterator[LocatedProblem]:
    """Wildcards that are looked into: a rule means any depth, a certificate one label."""
    rules = {rule.id: rule for rule in plan.selection.rules}
    for host in plan.hosts:
        if host.handling is Handling.INTERCEPT and host.pattern.is_wildcard:
            message = (
                f"to look inside TLS, clients are shown a certificate for {quoted(host.pattern.text)}, which to them covers one label:"
                f" https to deeper names fails; where there are any, name them, or `*.x{host.pattern.text[1:]}` besides"
            )
            yield at_rule(manifests, rules[host.because[0]], Problem(reason=DEEP_NAMES, message=message, fatal=False))


@dataclass(slots=True)
class _Refused:
    """Hosts to which every request by http was blocked by an earlier rule."""

    hosts: set[str] = field(default_factory=set)

    def add(self, rule: Rule) -> None:
        if rule.block and not rule.bypass:
            whole = (entry for entry in rule.match if not (entry.needs_request or entry.ports) and "http" in (entry.schemes or ("http",)))
            self.hosts.update(domain.text for entry in whole for domain in entry.domains)

    def covers(self, entry: Match) -> bool:
        return all(any(text in self.hosts for text in covering_texts(domain)) for domain in entry.domains)
