"""What the signers take and give. A credential and what was made with it do not show when they are printed."""

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class AliyunCredential:
    """Latin-1 text. Without a `security_token` it is a lasting key, and what the request says of a token is taken out."""

    access_key_id: str
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What makes the request the signed one. All of it is secret: the names in the headers are not. `target` None stays as it is."""

    set_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    remove_headers: tuple[str, ...] = ()
    target: str | None = field(default=None, repr=False)


class Why(StrEnum):
    """Why a request cannot be signed; the words are labels of a metric."""

    UNSIGNED = "unsigned"
    """It carries no signature: neither its version nor its date is known."""
    PRESIGNED = "presigned"
    """Its URL carries the signature, with an end that its maker chose: signing it would make a key of it."""
    SCHEME = "scheme"
    """Its Authorization header is of another kind."""
    ALGORITHM = "algorithm"
    """A signature that this key cannot make, or that the vendor does not document."""
    DATE = "date"
    """The date that the signature needs is missing, or is none."""
    BODY_HASH = "body-hash"
    BODY = "body"
    """The parameters stand in a body that is not known, or the signature itself does."""
    BUCKET = "bucket"
    """The host does not tell the bucket, which the signature names."""
    SCOPE = "scope"
    """The region and product that the signature names are missing."""
    TARGET = "target"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsignable:
    """Nothing was signed. For the rule this is a missing credential: its failStrategy decides."""

    why: Why
