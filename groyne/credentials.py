"""The credentials that a selection refers to, from Secrets in manifests and from the sources that those name.

A value is only taken where the Secret's owner lets it go: its namespace must be the profile's or be granted, and where the
Secret pins its hosts every host of the rule must be among them. What is missing or refused is a problem that is not fatal:
the rule stands without a value, and its failStrategy says what happens.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from crds import Problem, Secret
from crds.annotations import VALUE_FROM
from groyne.at_rule import at_rule
from groyne.environment import sources
from manifests.load import Loaded, Manifests
from manifests.located import LocatedProblem
from policy.program import Program, ProviderRef, SecretKeyRef, Selection
from policy.reasons import Reason
from policy.references import SecretUse, check_credential, refusal, secret_refs, withhold


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """`values` are usable tokens by resolved reference, `by_name` those and the ones that no rule may use, for scrubbing.

    `names` maps a rule's id to its credential's name; `files` hold values in plain text and must be hidden.
    """

    selection: Selection
    values: Mapping[SecretKeyRef, str] = field(default_factory=dict, repr=False)
    by_name: Mapping[str, str] = field(default_factory=dict, repr=False)
    names: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    problems: tuple[LocatedProblem, ...] = ()


class Values:
    """Each Secret key's value, read once: a source may be a command."""

    def __init__(self, manifests: Manifests, environ: Mapping[str, str]) -> None:
        self._manifests, self._environ = manifests, environ
        self._read: dict[SecretKeyRef, str | Problem] = {}

    def of(self, ref: SecretKeyRef) -> str | Problem:
        if ref not in self._read:
            self._read[ref] = self._value(ref)
        return self._read[ref]

    def _value(self, ref: SecretKeyRef) -> str | Problem:
        value = self.read(ref.namespace or "", ref.name, ref.key)
        return value if isinstance(value, Problem) else check_credential(value)

    def read(self, namespace: str, name: str, key: str) -> bytes | Problem:
        """The bytes of any key, whatever they are for."""
        loaded = self._manifests.secrets.get((namespace, name))
        if loaded is None:
            return Problem(reason=Reason.SECRET_NOT_FOUND, message=f"there is no Secret {namespace}/{name} here", fatal=False)
        value = self._bytes(loaded, key)
        if value is None:
            message = f"Secret {namespace}/{name} has no key {key}: add it under `stringData`"
            return Problem(reason=Reason.SECRET_KEY_NOT_FOUND, message=message, fatal=False)
        return value

    def _bytes(self, loaded: Loaded[Secret], key: str) -> bytes | Problem | None:
        source = loaded.object.metadata.annotations.get(VALUE_FROM + key)
        if source is None:
            return loaded.object.values.get(key)
        return sources.resolve(key, source, manifest_directory=Path(loaded.source.file).parent, environ=self._environ)


def resolve_credentials(
    manifests: Manifests, program: Program, selection: Selection, environ: Mapping[str, str], values: Values
) -> Credentials:
    """`Credentials.selection` is the selection less what it may not use: such a reference is withheld and never has a value."""
    missing: dict[str, Problem] = {}
    usable: dict[SecretKeyRef, str] = {}
    uses = secret_refs(selection)
    for use in uses:
        found = refused(manifests, use) or values.of(use.ref)
        if isinstance(found, Problem):
            missing[use.rule.id] = found
        else:
            usable[use.ref] = found
    return Credentials(
        selection=withhold(selection, missing),
        values=usable,
        by_name={str(ref): value for ref in references(program, selection) if isinstance(value := values.of(ref), str)},
        names={**provided(selection), **{use.rule.id: str(use.ref) for use in uses}},
        files=tuple(hidden_files(manifests, environ)),
        problems=tuple(at_rule(manifests, use.rule, at_reference(missing[use.rule.id])) for use in uses if use.rule.id in missing),
    )


def provided(selection: Selection) -> dict[str, str]:
    """Credentials that somebody issues when they are needed, by rule id."""
    exchanges = ((rule.id, rule.exchange.source) for rule in selection.rules if rule.exchange)
    return {name: str(source) for name, source in exchanges if isinstance(source, ProviderRef)}


def at_reference(problem: Problem) -> Problem:
    return replace(problem, field="actions.tokenTransformation.credentialRef", fatal=False)


def references(program: Program, selection: Selection) -> list[SecretKeyRef]:
    """Every credential that any profile here names: none of them is the command's to see."""
    refs = {ref for profile in program.profiles for rule in profile.rules for ref in selection.secret_refs(rule)}
    return sorted(refs, key=str)


def refused(manifests: Manifests, use: SecretUse) -> Problem | None:
    loaded = manifests.secrets.get((use.ref.namespace or "", use.ref.name))
    return refusal(use.rule, use.ref, loaded.object.metadata.annotations) if loaded else None


def hidden_files(manifests: Manifests, environ: Mapping[str, str]) -> Iterator[Path]:
    """Manifests that hold a Secret's values, and files that Secrets name as sources."""
    for loaded in manifests.secrets.values():
        file = Path(loaded.source.file)
        if loaded.object.values:
            yield file
        for source in sources.sources(loaded.object.metadata.annotations).values():
            path = sources.source_file(source, manifest_directory=file.parent, environ=environ)
            if path is not None and path.exists():
                yield path
