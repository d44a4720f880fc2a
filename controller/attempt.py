"""One attempt at a template's Secrets: compiled, or the problem that stands in the way. The slow part of a reconcile, and no I/O."""

from collections.abc import Mapping
from datetime import datetime

from controller.compile.material import read_before
from controller.compile.template import Cluster, TemplateOutput, compile_template, passthrough
from controller.references import Resolved
from crds.problem import Problem
from crds.sandbox_template import SandboxTemplate
from dataplane.compile import make_plan
from dataplane.limits import LARGEST, policy_size


def compiled(
    template: SandboxTemplate, resolved: Resolved, cluster: Cluster, before: Mapping[str, bytes], now: datetime
) -> TemplateOutput | Problem:
    """`before` is what the Secrets hold."""
    size = policy_size(make_plan(resolved.selection, passthrough(template)))
    if size > LARGEST:
        message = (
            f"the rules that meet here come to {size} conditions, and {LARGEST} can be carried out: `groyne check` says what to change"
        )
        return Problem(reason="PolicyTooLarge", message=message)
    return compile_template(
        template,
        resolved.selection,
        resolved.credentials,
        now=now,
        cluster=cluster,
        own_ca=resolved.own_ca,
        before=read_before(before, now),
    )


def without_secret(made: TemplateOutput) -> Problem | None:
    """Why there is none. What is wrong with the template's own NetworkPolicy is no reason."""
    return None if made.secret else next((problem for problem in made.problems if problem.fatal), None)
