"""ext-proc beside a run's Envoy: started when a rule needs it, told of every edit first, started anew whenever it ends.

It reads what is in force from one private file and listens on sockets in the private directory, which the command cannot reach.
While it is away Envoy refuses what needs it. It dies with this process even when that is killed; its log goes to a file of the
run directory.
"""

from pathlib import Path

from dataplane.external import External
from dataplane.external_settings import ExternalSettings
from groyne.workspace import Workspace
from policy.program import Engine, Selection

SOCKET = "external.sock"
HEALTH_SOCKET = "external-health.sock"
LOG = "external.log"
DIRECTORY = "external"
START_DEADLINE = 20.0
STOP_DEADLINE = 5.0
ASK_EVERY = 0.05
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
STEADY = 10.0
"""Seconds after which an end is no longer taken for a start that failed."""


class ExternalError(Exception):
    """ext-proc does not start; the message is fit for the user."""


def needed(selection: Selection) -> bool:
    return any(rule.engine is Engine.EXTPROC for rule in selection.rules)


def beside(directory: Path, workspace: Workspace, settings: ExternalSettings | None = None) -> External:
    """Where an Envoy of this directory finds it, and for whom it asks."""
    return External(
        address={"pipe": {"path": str(directory / SOCKET)}},
        identity=workspace.selection.identity,
        template=workspace.template.metadata.name if workspace.template else "",
        settings=settings or ExternalSettings(),
    )
