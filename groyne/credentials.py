"""The credentials that a selection refers to, from Secrets in manifests and from the sources that those name.

A value is only taken where the Secret's owner lets it go: its namespace must be the profile's or be granted, and where the
Secret pins its hosts every host of the rule must be among them. What is missing or refused is a problem that is not fatal:
the rule stands, and its failStrategy says what happens.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from crds import Problem, Secret
from crds.annotations import ALLOWED_HOSTS, GRANT_TO
from crds.annotations import read as read_annotations
from groyne.environment import sources as value_sources
from manifests.load import Loaded, Manifests
from manifests.located import LocatedProblem
from policy.program import Rule, SecretKeyRef, Selection
from policy.references import check_credential, permitted, pinned_away


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """`values` are usable tokens by resolved reference; `names` maps rule ids to the credential's name; `files` must be hidden."""

    values: Mapping[SecretKeyRef, str] = field(default_factory=dict, repr=False)
    names: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    problems: tuple[LocatedProblem, ...] = ()


@dataclass(slots=True)
class _Found:
    values: dict[SecretKeyRef, str | Problem] = field(default_factory=dict, repr=False)
    problems: list[LocatedProblem] = field(default_factory=list)


def resolve_credentials(manifests: Manifests, selection: Selection, environ: Mapping[str, str], *, sources: bool = True) -> Credentials:
    """Without `sources`, keys that an environment variable, file or command answers count as there, with no value to see."""
    found = _Found()
    usable: dict[SecretKeyRef, str] = {}
    names = {}
    for rule, ref in references(selection):
        names[rule.id] = f"{ref.namespace}/{ref.name}"
        located = locator(manifests, rule)
        problem = refused(manifests, rule, ref)
        if problem is None:
            value = value_of(manifests, ref, environ, found, sources=sources)
            if isinstance(value, str):
                usable[ref] = value
                continue
            problem = value
        found.problems.append(located(problem))
    return Credentials(values=usable, names=names, files=tuple(hidden_files(manifests, environ)), problems=tuple(found.problems))


def references(selection: Selection) -> Iterator[tuple[Rule, SecretKeyRef]]:
    for rule in selection.rules:
        if rule.token:
            yield rule, selection.secret_ref(rule.token.secret)
