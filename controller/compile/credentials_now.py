"""A unified Secret that cannot be made anew, with its credentials as they are now.

What stops a template's Secret from being compiled (one's own CA that is missing, rules that are too many) keeps the last good rules in
force, but never a credential: one that was deleted or refused is taken out of its file, one that was rotated is exchanged, and
everything else stays to the byte. A file must stay too, since Envoy keeps what was in one that vanishes.
"""

import json
from collections.abc import Mapping

from controller.compile.redacted import Redacted
from controller.compile.secret import CONTENT_HASH, UnifiedSecret, content_hash
from dataplane.compile import secret_files
from dataplane.secrets import CREDENTIAL_FILE, withdrawn
from policy.program import SecretKeyRef, Selection


def credentials_now(data: Mapping[str, bytes], selection: Selection, credentials: Mapping[SecretKeyRef, str]) -> UnifiedSecret:
    """`data` is what the Secret holds."""
    given = secret_files(selection, credentials, ())
    files = {name: exchanged(name, held, given) for name, held in data.items()}
    values = {name: Redacted(files[name]) for name in sorted(files)}
    return UnifiedSecret(metadata={"annotations": {CONTENT_HASH: content_hash(values)}}, data=values)


def exchanged(name: str, held: bytes, given: Mapping[str, str]) -> bytes:
    if not name.startswith(CREDENTIAL_FILE):
        return held
    return given[name].encode() if name in given else taken_out(held)


def taken_out(held: bytes) -> bytes:
    """What cannot be read gives no credential either, and is emptied."""
    try:
        return withdrawn(held.decode()).encode()
    except (ValueError, KeyError, TypeError):
        return json.dumps({"resources": []}).encode()
