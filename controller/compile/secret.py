"""`TEMPLATE-egress`: the unified Secret, everything that a template's sidecars read.

Its keys are the files of the proxy's volume, credentials and certificates as SDS among them, and what the controller must find
again: the leafs. The CA's key is not here but in a Secret of its own (`ca_secret`). The bundle serves twice: mounted as it is for
clients, as `upstream-roots.pem` for the proxy. The same input gives the same bytes; a hash of them stands in an annotation, so that
nobody must read the values to see that nothing changed. Values are redacted wherever they are printed.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.compile.material import Material
from controller.compile.output import Manifest, metadata, name_too_long
from controller.compile.redacted import MASK, Redacted
from crds.problem import Problem
from crds.sandbox_template import SandboxTemplate
from dataplane.compile import Configuration

SUFFIX = "-egress"
CONTENT_HASH = "groyne.dev/content-hash"
WARN_BYTES = 700 * 1024
REFUSE_BYTES = 900 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class UnifiedSecret:
    """`metadata` is fit for print, `data` prints as `***`."""

    metadata: Manifest
    data: Mapping[str, Redacted] = field(default_factory=dict)

    def manifest(self, *, reveal: bool) -> Manifest:
        values = {key: base64.b64encode(value.reveal()).decode() if reveal else MASK for key, value in self.data.items()}
        return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": self.metadata, "data": values}


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretOutput:
    """`secret` None: there should be no such Secret, or, with a fatal problem, it cannot be written."""

    secret: UnifiedSecret | None = None
    problems: tuple[Problem, ...] = ()


def unified_secret(template: SandboxTemplate, configuration: Configuration, made: Material) -> SecretOutput:
    if too_long := name_too_long(template, SUFFIX):
        return SecretOutput(problems=(too_long,))
    texts = {**configuration.files, **made.files}
    data = {key: Redacted(texts[key].encode()) for key in sorted(texts)}
    problem = size_problem(f"{template.metadata.name}{SUFFIX}", sum(map(len, data.values())))
    if problem and problem.fatal:
        return SecretOutput(problems=(problem,))
    annotations = {CONTENT_HASH: content_hash(data)}
    secret = UnifiedSecret(metadata=metadata(template, SUFFIX, annotations), data=data)
    return SecretOutput(secret=secret, problems=(problem,) if problem else ())


def content_hash(data: Mapping[str, Redacted]) -> str:
    digest = hashlib.sha256()
    for key in sorted(data):
        for part in (key.encode(), data[key].reveal()):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def size_problem(name: str, size: int) -> Problem | None:
    """The API server's own limit is 1 MiB for the whole object; what is refused here says what to do about it."""
    advice = "use fewer rules, hosts or credentials for one template, or split it"
    if size > REFUSE_BYTES:
        message = f"Secret {name} would hold {size} bytes, which exceeds the maximum allowed threshold of {REFUSE_BYTES}: {advice}"
        return Problem(reason="SecretTooLarge", message=message)
    if size > WARN_BYTES:
        message = f"Secret {name} holds {size} bytes and cannot grow beyond {REFUSE_BYTES}: {advice}"
        return Problem(reason="SecretLarge", message=message, fatal=False)
    return None
