"""A directory of manifests, read as one policy for one identity: program, selection, credentials, and every problem located.

`read_workspace` is called again after each edit, with what was in force before: a profile that no longer compiles keeps
its last good version, a credential never does.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from controller.compile.template import passthrough
from crds import Problem, SandboxTemplate
from dataplane.compile import make_plan
from groyne.credentials import Credentials, Values, resolve_credentials
from groyne.limit_problems import limit_problems
from manifests.last_good import still_there, with_unreadable
from manifests.load import DEFAULT_NAMESPACE, Manifests, Progress, load
from manifests.located import LocatedProblem
from policy.compile import compile_program
from policy.domains import DomainPattern
from policy.inputs import missing_config_maps
from policy.program import Engine, Identity, Profile, ProfileRef, Program, Selection
from policy.template_identity import template_identity

ENGINES = frozenset(Engine)
"""ext-proc comes with Groyne, and runs where a rule needs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Whose requests are judged: the pods of a template, or whatever carries these labels in a namespace."""

    template: str | None = None
    namespace: str = DEFAULT_NAMESPACE
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def labels_text(self) -> str:
        return ",".join(f"{key}={value}" for key, value in self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    manifests: Manifests
    program: Program
    selection: Selection
    credentials: Credentials
    values: Values = field(repr=False)
    problems: tuple[LocatedProblem, ...]
    template: SandboxTemplate | None = None
    good: Mapping[ProfileRef, Profile] = field(default_factory=dict)
    """Every profile in force, to be kept should its file break."""

    sources: Mapping[ProfileRef, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    """The manifests that those were compiled from."""

    @property
    def template_passthrough(self) -> tuple[DomainPattern, ...]:
        """Hosts that the template's annotation leaves end-to-end."""
        return passthrough(self.template) if self.template else ()

    @property
    def broken(self) -> bool:
        return any(located.problem.fatal for located in self.problems)


def read_workspace(
    path: Path,
    who: Who,
    environ: Mapping[str, str],
    *,
    progress: Progress | None = None,
    last_good: Mapping[ProfileRef, Profile] | None = None,
    last_sources: Mapping[ProfileRef, Mapping[str, Any]] | None = None,
    last_template: SandboxTemplate | None = None,
) -> Workspace:
    """Reads, compiles, selects, and asks the sources that Secrets name.

    While the template cannot be had, nobody knows for whom the profiles are: `last_template` and `last_good` hold as they are.
    So they do where the whole has become too large to be carried out.
    """
    manifests = load(path, progress=progress)
    kept = still_there(manifests, last_good or {})
    compiled = compile_program([loaded.object for loaded in manifests.profiles.values()], last_good=kept, engines=ENGINES)
    program = with_unreadable(compiled.program, manifests, kept)
    problems = [*manifests.problems, *profile_problems(manifests, compiled.problems), *config_map_problems(manifests, program)]
    template = template_of(who, manifests)
    if isinstance(template, Problem):
        problems.append(LocatedProblem(problem=template, file=str(path)))
        template = last_template
        if template:
            program = Program(profiles=tuple(sorted((last_good or {}).values(), key=lambda profile: profile.order)))
    identity = template_identity(template) if template else Identity(namespace=who.namespace, labels=who.labels)
    selection = program.select(identity)
    exceeded = list(limit_problems(manifests, make_plan(selection, passthrough(template) if template else ())))
    problems += exceeded
    if last_good and any(located.problem.fatal for located in exceeded):
        program = Program(profiles=tuple(sorted(last_good.values(), key=lambda profile: profile.order)))
        selection = program.select(identity)
    values = Values(manifests, environ)
    credentials = resolve_credentials(manifests, program, selection, environ, values)
    problems += credentials.problems
    return Workspace(
        manifests=manifests,
        program=program,
        selection=credentials.selection,
        credentials=credentials,
        values=values,
        template=template,
        problems=tuple(sorted(dict.fromkeys(problems), key=lambda located: located.order)),
        good={profile.ref: profile for profile in program.profiles},
        sources=dict(sources(program, manifests, last_good or {}, last_sources or {})),
    )


def sources(
    program: Program,
    manifests: Manifests,
    last_good: Mapping[ProfileRef, Profile],
    last_sources: Mapping[ProfileRef, Mapping[str, Any]],
) -> Iterator[tuple[ProfileRef, Mapping[str, Any]]]:
    for profile in program.profiles:
        ref = profile.ref
        kept = last_good.get(ref) is profile
        yield ref, last_sources.get(ref, {}) if kept else manifests.profiles[ref.namespace, ref.name].raw


def nothing_holds(workspace: Workspace, who: Who) -> str:
    """A warning where no profile applies, since everything passes then; empty where one does."""
    if workspace.selection.profiles:
        return ""
    whose = f"SandboxTemplate {who.template}" if who.template else f"labels {who.labels_text or 'none'} in namespace {who.namespace}"
    return f"no profile here applies to {whose}, so everything passes: choose with --template, --labels and --namespace"


def profile_problems(manifests: Manifests, problems: Mapping[ProfileRef, tuple[Problem, ...]]) -> list[LocatedProblem]:
    found = []
    for loaded in manifests.profiles.values():
        ref = ProfileRef(kind=loaded.object.kind, namespace=loaded.namespace, name=loaded.name)
        found += [loaded.locate(problem) for problem in problems.get(ref, ())]
    return found


def config_map_problems(manifests: Manifests, program: Program) -> list[LocatedProblem]:
    known = manifests.config_maps.keys()
    return profile_problems(manifests, {profile.ref: tuple(missing_config_maps(profile, known)) for profile in program.profiles})


def template_of(who: Who, manifests: Manifests) -> SandboxTemplate | Problem | None:
    if who.template is None:
        return None
    namespace, _, name = who.template.rpartition("/")
    loaded = manifests.templates.get((namespace or who.namespace, name))
    if loaded is None:
        known = ", ".join(f"{space}/{found}" for space, found in sorted(manifests.templates)) or "none"
        return Problem(reason="TemplateNotFound", message=f"there is no SandboxTemplate {who.template} here; there are: {known}")
    return loaded.object
