"""What a template's unified Secret depends on, as one comparable value: as long as it stays the same there is nothing to compile.

Values of credentials are not in it, only the versions of the Secrets that they come from.
"""

from collections.abc import Iterable
from typing import Any

from controller.compile.template import Cluster
from controller.references import Resolved
from crds.sandbox_template import SandboxTemplate
from daemon.profile_book import Entry
from policy.program import ProfileRef

Inputs = tuple[Any, ...]


def template_inputs(template: SandboxTemplate, entries: Iterable[Entry], resolved: Resolved, cluster: Cluster) -> Inputs:
    return (
        (template.api_version, template.metadata.uid, template.metadata.generation, tuple(sorted(template.metadata.annotations.items()))),
        tuple(in_force(entry) for entry in entries),
        tuple(sorted(resolved.secrets.items())),
        resolved.selection.identity,
        cluster,
    )


def in_force(entry: Entry) -> tuple[ProfileRef, str, int | None, tuple[Any, ...]]:
    version = entry.version
    return entry.ref, version.uid if version else "", version.generation if version else None, entry.stamp[2:]
