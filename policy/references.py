"""Which Secrets a selection's credentials come from, and whether their owners let them go. Values are checked, never shown.

A Secret serves profiles of its own namespace; others need the owner's grant (annotation `groyne.dev/grant-to`), and a
GlobalSecurityProfile that names another namespace needs the grant to all, `*`. A Secret can also pin its hosts
(`groyne.dev/allowed-hosts`): then every host of a rule that uses it must be covered. What is refused counts as missing,
and the rule's failStrategy says what follows; the problems here are therefore never fatal.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from crds import annotations
from crds.problem import Problem
from policy.domains import DomainPattern, parse_domain
from policy.program import Rule, SecretKeyRef, SecretRef, Selection
from policy.reasons import Reason

LONGEST_CREDENTIAL = 16 * 1024

_FORBIDDEN = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretUse:
    """One rule's use of a credential; `ref` is resolved."""

    rule: Rule
    ref: SecretKeyRef


def secret_refs(selection: Selection) -> tuple[SecretUse, ...]:
    """In the order of the rules."""
    return tuple(SecretUse(rule=rule, ref=ref) for rule in selection.rules for ref in selection.secret_refs(rule))


def refusal(rule: Rule, ref: SecretKeyRef, secret_annotations: Mapping[str, str]) -> Problem | None:
    """Why the Secret's owner does not let this rule have it; `ref` is resolved."""
    annotated = annotations.read(secret_annotations)
    return _not_granted(rule, ref, annotated) or _not_pinned(rule, ref, annotated)


def withhold(selection: Selection, refused: Mapping[str, Problem]) -> Selection:
    """The selection in which the rules with these ids never get their credential."""
    profiles = tuple(
        replace(profile, rules=tuple(_without(rule, selection) if rule.id in refused else rule for rule in profile.rules))
        for profile in selection.profiles
    )
    return replace(selection, profiles=profiles)


def _without(rule: Rule, selection: Selection) -> Rule:
    if rule.token:
        return replace(rule, token=replace(rule.token, secret=replace(selection.secret_ref(rule.token.secret), withheld=True)))
    if rule.exchange and isinstance(rule.exchange.source, SecretRef):
        return replace(rule, exchange=replace(rule.exchange, source=replace(rule.exchange.source, withheld=True)))
    return rule


def _not_granted(rule: Rule, ref: SecretKeyRef, annotated: annotations.Annotations) -> Problem | None:
    own = rule.secret is not None and rule.secret.namespace is None
    if own or ref.namespace == rule.profile.namespace or annotated.grants(rule.profile.namespace or "*"):
        return None
    asker = f"namespace {rule.profile.namespace}" if rule.profile.namespace else "every namespace (`*`)"
    return _problem(
        Reason.REF_NOT_GRANTED,
        f"Secret {ref.namespace}/{ref.name} is not granted to {asker}: its owner can list it in the annotation `{annotations.GRANT_TO}`",
    )


def _not_pinned(rule: Rule, ref: SecretKeyRef, annotated: annotations.Annotations) -> Problem | None:
    if annotated.allowed_hosts is None:
        return None
    pins = [pin for text in annotated.allowed_hosts if isinstance(pin := parse_domain(text), DomainPattern)]
    hosts = dict.fromkeys(domain for entry in rule.match for domain in entry.domains)
    outside = [host.text for host in hosts if not any(pin.covers(host) for pin in pins)]
    if not outside:
        return None
    return _problem(
        Reason.HOST_NOT_ALLOWED,
        f"Secret {ref.namespace}/{ref.name} may not go to {', '.join(outside)}: narrow the rule's domains, or let its owner add the host"
        f" to the annotation `{annotations.ALLOWED_HOSTS}`",
    )


def check_credential(value: bytes) -> str | Problem:
    """The credential as Latin-1 text, one line end at its end removed; or what keeps it out of a header, without the value."""
    line = value.removesuffix(b"\n")
    line = line.removesuffix(b"\r") if line != value else line
    if not line:
        return _problem(Reason.INVALID_CREDENTIAL, "the credential is empty")
    if len(line) > LONGEST_CREDENTIAL:
        return _problem(Reason.INVALID_CREDENTIAL, f"the credential is longer than {LONGEST_CREDENTIAL} bytes: no header holds it")
    if _FORBIDDEN.search(line):
        return _problem(Reason.INVALID_CREDENTIAL, "the credential holds a line break or another control character: no header may")
    if line != line.strip(b" \t"):
        return _problem(Reason.INVALID_CREDENTIAL, "the credential starts or ends with a space: remove it")
    if not _is_text(line):
        return _problem(Reason.INVALID_CREDENTIAL, "the credential is not UTF-8 text: encode it as the service that takes it says")
    return line.decode("latin-1")


def _is_text(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _problem(reason: Reason, message: str) -> Problem:
    return Problem(reason=reason.value, message=message, fatal=False)
