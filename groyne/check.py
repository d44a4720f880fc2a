"""`groyne check`: every problem of a directory at once, located, and what a run would leave readable."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.progress import Progress

from crds import Problem
from dataplane.compile import make_plan
from dataplane.interception import Handling
from groyne import clock, output
from groyne.at_rule import at_rule
from groyne.engines import extproc_lines
from groyne.limit_problems import OVERFULL, likely_plans, limit_problems
from groyne.notes import deep_name_notes, plain_http_notes, source_notes
from groyne.output import Exit, Output
from groyne.own_ca import ca_problems
from groyne.passthrough_notes import passthrough_notes, template_passthrough_notes
from groyne.selections import every_selection
from groyne.workspace import Who, Workspace, read_workspace
from manifests.located import LocatedProblem

UNRESOLVED = frozenset(
    {"SecretNotFound", "SecretKeyNotFound", "RefNotGranted", "HostNotAllowed", "InvalidCredential", "SourceUnavailable", "InvalidSource"}
)
"""Not fatal, since the rule stands; but a run would miss a credential, so `check` does not pass."""

FAILING = UNRESOLVED | {OVERFULL}

BLIND = Problem(
    reason="InterceptionUnavailable",
    message="this rule must look inside TLS to hosts that no certificate can name, so https to every other host is refused: "
    "name the hosts (`api.example.com`, `*.example.com`), or limit the rule with `schemes: [http]`",
    fatal=False,
)


def check(directory: Path, kind: Output) -> Exit:
    """Prints the problems; exit code 1 where one is an error or a credential is missing."""
    workspace = read_with_progress(directory)
    problems = sorted({*workspace.problems, *judged(workspace)}, key=lambda located: located.order)
    failing = [located for located in problems if located.problem.fatal or located.problem.reason in FAILING]
    if kind is Output.JSON:
        output.print_json([located.as_json() for located in problems])
    else:
        output.print_problems(problems, output.errors())
        for line in extproc_lines(rule for profile in workspace.program.profiles for rule in profile.rules):
            output.say(f"groyne: {line}")
        manifests, notes = workspace.manifests, len(problems) - len(failing)
        read = f"{counted(len(manifests.profiles), 'profile')}, {counted(len(manifests.files), 'file')}"
        output.say(f"groyne: {read}: {counted(len(failing), 'problem')} to mend, {counted(notes, 'note')}")
    return Exit.PROBLEMS if failing else Exit.OK


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def read_with_progress(directory: Path) -> Workspace:
    """Shows how far it is where a person waits."""
    with Progress(console=output.errors(), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("reading manifests", total=None)
        return read_workspace(
            directory, Who(), dict(os.environ), progress=lambda done, total: progress.update(task, completed=done, total=total)
        )


def judged(workspace: Workspace) -> Iterator[LocatedProblem]:
    """What only shows once it is known who is selected, and notes."""
    manifests = workspace.manifests
    yield from ca_problems(workspace, clock.now())
    yield from source_notes(manifests)
    yield from template_passthrough_notes(workspace)
    for likely in likely_plans(manifests, workspace.program):
        yield from limit_problems(manifests, likely)
    for selection, credentials in every_selection(workspace, dict(os.environ)):
        yield from credentials.problems
        yield from plain_http_notes(manifests, selection)
        rules = {rule.id: rule for rule in selection.rules}
        plan = make_plan(selection)
        yield from passthrough_notes(manifests, plan)
        yield from deep_name_notes(manifests, plan)
        blind = {name for host in plan.hosts if host.handling is Handling.REFUSE for name in host.because}
        yield from (at_rule(manifests, rules[name], BLIND) for name in blind)
