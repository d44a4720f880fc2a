"""What a template's turn has met with, as problems for its profiles and its Events to say: whose it is, why, and until when it is bearable.

An exception's own text is said only where the API server judges what the user wrote; any other may hold what an object says.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from controller.compile.redacted import Redacted
from controller.renewal import CertificateKind, ends
from crds.problem import Problem
from daemon.kinds import NETWORK_POLICIES
from kube.errors import ApiError, Invalid
from kube.objects import Key, Resource

CONTESTED = "Contested"


class ConflictingOwner(ApiError):  # noqa: N818
    """A NetworkPolicy of this name belongs to somebody else; it is looked at again later."""

    def __init__(self, name: Key, problem: Problem) -> None:
        super().__init__(f"{NETWORK_POLICIES} {name}: {problem.reason}")
        self.problem = problem


def not_taken(name: Key, error: Invalid) -> Problem:
    """What the template's rules say is passed on as it is, and judged by the API server alone."""
    return Problem(reason="NetworkPolicyRefused", message=f"the API server does not take NetworkPolicy {name.name}: {error}")


def as_said_to_profiles(key: Key, problem: Problem) -> Problem:
    """Whose field it is."""
    place = f"{problem.field}: " if problem.field else ""
    return replace(problem, field="", message=f"SandboxTemplate {key}: {place}{problem.message}")


def undone(template: Key, resource: Resource, name: Key) -> Problem:
    message = f"another writer undoes {resource.kind} {name.name} as often as it is written: its managedFields say who"
    return as_said_to_profiles(template, Problem(reason="Contested", message=message, fatal=False))


def told(template: Key, error: Exception) -> Problem:
    """Never an exception's own text, which may hold what an object says."""
    if not isinstance(error, ApiError):
        message = f"it could not be worked out ({type(error).__name__}, see the controller's log); it is tried again"
        return Problem(reason="InternalError", message=message, fatal=False)
    if isinstance(error, ConflictingOwner):
        return as_said_to_profiles(template, replace(error.problem, fatal=False))
    reason = error.reason or type(error).__name__
    return Problem(reason="WriteFailed", message=f"the API server did not take it ({reason}); it is tried again", fatal=False)


def readable_ends(data: Mapping[str, Redacted]) -> Mapping[CertificateKind, datetime]:
    """Of a Secret that somebody may have written into."""
    try:
        return ends(data)
    except ValueError:
        return {}


def not_renewed(failure: Problem, found: Mapping[CertificateKind, datetime]) -> Problem:
    if not found:
        return failure
    return replace(
        failure, message=f"{failure.message}; until then no certificate is renewed, and the first ends on {min(found.values()):%Y-%m-%d}"
    )
