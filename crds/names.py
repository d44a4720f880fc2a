r"""Kubernetes' name syntaxes. Each check answers with what is wrong and how to right it, or None.

Python's own regular expressions, always with `\Z`: `$` would let a trailing newline through.
"""

import re

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?\Z")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\Z")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]\Z")
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]+\Z")


def subdomain(text: str) -> str | None:
    """An object's name."""
    if len(text) > 253:
        return f"a name has at most 253 characters, this one has {len(text)}"
    if not _SUBDOMAIN.match(text):
        return "use lower-case letters, digits, `-` and `.`, with a letter or digit first and last"
    return None


def dns_label(text: str) -> str | None:
    """A namespace."""
    if len(text) > 63:
        return f"a namespace has at most 63 characters, this one has {len(text)}"
    if not _LABEL.match(text):
        return "use lower-case letters, digits and `-`, with a letter or digit first and last"
    return None


def qualified(text: str) -> str | None:
    """A label's or annotation's key: `name` or `prefix/name`."""
    prefix, slash, name = text.rpartition("/")
    if slash and subdomain(prefix):
        return "what stands before the `/` of a key must be a DNS name in lower case"
    if len(name) > 63:
        return f"a key's name has at most 63 characters, this one has {len(name)}"
    if not _QUALIFIED.match(name):
        return "a key is made of letters, digits, `-`, `_` and `.`, with a letter or digit first and last"
    return None


def annotation_key(text: str) -> str | None:
    """Like a label's key, but the API server does not mind upper case before the `/`."""
    return qualified(text.lower())


def label_value(text: str) -> str | None:
    if len(text) > 63:
        return f"a label's value has at most 63 characters, this one has {len(text)}"
    if text and not _QUALIFIED.match(text):
        return "a label's value is empty or made of letters, digits, `-`, `_` and `.`, with a letter or digit first and last"
    return None


def data_key(text: str) -> str | None:
    """A key of a Secret or ConfigMap."""
    if len(text) > 253:
        return f"a key has at most 253 characters, this one has {len(text)}"
    if not _DATA_KEY.match(text) or text == "." or text.startswith(".."):
        return "a key is made of letters, digits, `-`, `_` and `.`"
    return None
