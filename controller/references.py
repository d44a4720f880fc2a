"""A selection's references → what they stand for: credentials, one's own CA; and what is to be said of those that have no value.

A reference without a value never stops a template: the rule's failStrategy says what follows. A named CA that cannot be used does
stop its Secret from being written, because falling back to another would surprise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from crds.annotations import read
from crds.problem import Problem
from crds.sandbox_template import SandboxTemplate
from daemon.profile_book import Entry
from daemon.secret_reader import Access, Found, NotReadableYet, SecretReader
from dataplane.certificate_parts import KeyPair
from dataplane.certificates import load_ca
from kube.objects import Key
from policy.program import ProfileRef, SecretKeyRef, Selection
from policy.reasons import Reason
from policy.references import SecretUse, check_credential, refusal, secret_refs, withhold

OPT_IN = "label the namespace `groyne.dev/secrets=managed` and bind ClusterRole groyne-namespace in it (docs/install.md)"
CERTIFICATE, KEY = "tls.crt", "tls.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """`secrets` are all Secrets that were asked for, with the version seen ("" for none); `failure` stops the template's Secret."""

    selection: Selection
    credentials: Mapping[SecretKeyRef, str] = field(default_factory=dict, repr=False)
    unresolved: Mapping[ProfileRef, tuple[Problem, ...]] = field(default_factory=dict)
    secrets: Mapping[Key, str] = field(default_factory=dict)
    own_ca: KeyPair | None = field(default=None, repr=False)
    failure: Problem | None = None


class Resolver:
    """One template's references, each Secret read once."""

    def __init__(self, reader: SecretReader) -> None:
        self._reader = reader
        self._seen: dict[Key, Found | Problem] = {}

    async def resolve(self, selection: Selection, ca_key: Key | None, now: datetime) -> Resolved:
        """Raises ApiError where something could not be read, and NotReadableYet where it could not be asked."""
        refused: dict[str, Problem] = {}
        values: dict[SecretKeyRef, str] = {}
        unresolved: dict[ProfileRef, list[Problem]] = {}
        for use in secret_refs(selection):
            found = await self._credential(use)
            if isinstance(found, str):
                values[use.ref] = found
                continue
            refused[use.rule.id] = found
            place = f"spec.rules[{use.rule.index}].actions.tokenTransformation.credentialRef"
            unresolved.setdefault(use.rule.profile, []).append(replace(found, field=place, fatal=False))
        ca = await self._own_ca(ca_key, now) if ca_key else None
        return Resolved(
            selection=withhold(selection, refused),
            credentials=values,
            unresolved={ref: tuple(problems) for ref, problems in unresolved.items()},
            secrets={key: found.version if isinstance(found, Found) else "" for key, found in self._seen.items()},
            own_ca=None if isinstance(ca, Problem) else ca,
            failure=ca if isinstance(ca, Problem) else None,
        )

    async def _credential(self, use: SecretUse) -> str | Problem:
        secret = await self._secret(Key(use.ref.namespace or "", use.ref.name))
        if isinstance(secret, Problem):
            return secret
        not_given = refusal(use.rule, use.ref, secret.annotations)
        if not_given:
            return not_given
        value = secret.values.get(use.ref.key)
        return missing_key(use.ref) if value is None else check_credential(value)

    async def _own_ca(self, key: Key, now: datetime) -> KeyPair | Problem:
        secret = await self._secret(key)
        if isinstance(secret, Problem):
            return replace(secret, message=f"the CA Secret {key}: {secret.message}", fatal=True)
        texts = [secret.values.get(name, b"").decode("utf-8", "replace") for name in (CERTIFICATE, KEY)]
        pair = load_ca(texts[0], texts[1], now=now)
        return replace(pair, message=f"the CA Secret {key}: {pair.message}", field="", fatal=True) if isinstance(pair, Problem) else pair

    async def _secret(self, key: Key) -> Found | Problem:
        if key not in self._seen:
            self._seen[key] = await self._read(key)
        return self._seen[key]

    async def _read(self, key: Key) -> Found | Problem:
        access = self._reader.access(key.namespace)
        if access is Access.UNKNOWN:
            raise NotReadableYet(f"the Secrets of namespace {key.namespace} are not listed yet")
        if access is Access.CLOSED:
            return not_opted_in(key.namespace)
        found = await self._reader.read(key)
        message = f"there is no Secret {key}: create it, or correct the reference"
        return found or Problem(reason=Reason.SECRET_NOT_FOUND, message=message, fatal=False)


def missing_key(ref: SecretKeyRef) -> Problem:
    message = f"Secret {ref.namespace}/{ref.name} has no key {ref.key}: add it, or correct the reference"
    return Problem(reason=Reason.SECRET_KEY_NOT_FOUND, message=message, fatal=False)


def not_opted_in(namespace: str) -> Problem:
    message = f"Groyne may not use the Secrets of namespace {namespace}: {OPT_IN}"
    return Problem(reason="NamespaceNotOptedIn", message=message, fatal=False)


def ca_named(template: SandboxTemplate, entries: list[Entry], namespace: str) -> Key | None:
    """The first one named: by the selected profiles in their order, then by the template."""
    for entry in entries:
        if entry.version and entry.version.ca_secret:
            return Key(entry.ref.namespace or namespace, entry.version.ca_secret)
    name = read(template.metadata.annotations).ca_secret
    return Key(namespace, name) if name else None
