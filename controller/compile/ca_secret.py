"""`TEMPLATE-ca`: the CA of one template with its key, and its successor's where there is one.

It is the controller's own note: no pod mounts it, and nothing of it but certificates stands in `TEMPLATE-egress`. There is none where
nothing is intercepted, or where the CA is the user's, whose key stays in the user's Secret.
"""

from collections.abc import Mapping

from controller.compile.material import CA, NEXT, Material
from controller.compile.output import metadata, name_too_long
from controller.compile.redacted import Redacted
from controller.compile.secret import CONTENT_HASH, SecretOutput, UnifiedSecret, content_hash
from crds.sandbox_template import SandboxTemplate

SUFFIX = "-ca"
FILES = tuple(f"{name}.{part}" for name in (CA, NEXT) for part in ("crt", "key"))


def ca_secret(template: SandboxTemplate, made: Material) -> SecretOutput:
    if not made.kept:
        return SecretOutput()
    if too_long := name_too_long(template, SUFFIX):
        return SecretOutput(problems=(too_long,))
    data = {name: Redacted(made.kept[name].encode()) for name in sorted(made.kept)}
    return SecretOutput(secret=UnifiedSecret(metadata=metadata(template, SUFFIX, {CONTENT_HASH: content_hash(data)}), data=data))


def held(egress: Mapping[str, bytes], authority: Mapping[str, bytes] | None) -> Mapping[str, bytes]:
    """What both Secrets hold. `authority` None: there is no Secret of the CA's own yet, and versions before had the CA in the other."""
    kept = {name: value for name, value in egress.items() if name not in FILES}
    source = egress if authority is None else authority
    return {**kept, **{name: source[name] for name in FILES if name in source}}
