"""tokenTransformation: which credential goes into which header, and where it comes from.

The deprecated flat reference (`kind` and `name`) is read and turned into the typed one, so that everybody below knows one form.
"""

from typing import Annotated, ClassVar, Literal, Self

from annotated_types import MaxLen, MinLen
from pydantic import Field

from crds.base import Model
from crds.fields import HEADER_NAME, Bool, HeaderName, Name253, Str
from crds.laws import Law, Place, Raw, exactly_one, needs
from crds.reasons import Reason

_TYPED = ("secret", "credentialProvider")
_FLAT = ("kind", "name", "namespace")


class SecretCredentialRef(Model):
    """A Secret: key `apiKey` for ApiKey; `accessKeyId`, `accessKeySecret`, `securityToken` for AliyunSTS."""

    name: Name253
    """The Secret's name."""
    namespace: Name253 | None = None
    """Its namespace: by default the profile's, for a GlobalSecurityProfile the selected pod's."""


class ValueSource(Model):
    """One value of a provider request: static text, a CEL expression, or a template."""

    laws: ClassVar[tuple[Law, ...]] = (exactly_one("value", "cel", "template"),)

    value: Annotated[Str, MaxLen(2048)] | None = None
    """Text that is sent as it stands."""
    cel: Annotated[Str, MinLen(1), MaxLen(1024)] | None = None
    """A CEL expression; any JSON value may come out."""
    template: Annotated[Str, MinLen(1), MaxLen(2048)] | None = None
    """A Go template; text comes out."""


class CredentialProviderRef(Model):
    """An external provider that is asked for a credential."""

    name: Name253
    """The provider's name."""
    namespace: Name253 | None = None
    """Reserved; not read."""
    parameters: dict[Str, ValueSource] = Field(default_factory=dict)
    """What is sent along in the request's extraMetadata."""


def _mixed(raw: Raw) -> tuple[Place, ...]:
    flat = any(field in raw for field in _FLAT)
    typed = sum(field in raw for field in _TYPED)
    return ((),) if typed + flat > 1 else ()


def _no_source(raw: Raw) -> tuple[Place, ...]:
    return () if any(field in raw for field in _TYPED + _FLAT) else ((),)


def _half_flat(raw: Raw) -> tuple[Place, ...]:
    if not any(field in raw for field in _FLAT):
        return ()
    return tuple((field,) for field in ("kind", "name") if field not in raw)


class CredentialRef(Model):
    """Where the credential comes from: exactly one of `secret` and `credentialProvider`."""

    laws: ClassVar[tuple[Law, ...]] = (
        Law(
            reason=Reason.CONFLICT,
            message="set one source only: `secret`, `credentialProvider`, or the deprecated `kind` with `name`; remove the others",
            cel="(has(self.secret) ? 1 : 0) + (has(self.credentialProvider) ? 1 : 0)"
            " + (has(self.kind) || has(self.name) || has(self.__namespace__) ? 1 : 0) <= 1",
            broken=_mixed,
        ),
        Law(
            reason=Reason.MISSING_FIELD,
            message="name the credential's source: set `secret` (with its `name`) or `credentialProvider`",
            cel="has(self.secret) || has(self.credentialProvider) || has(self.kind) || has(self.name) || has(self.__namespace__)",
            broken=_no_source,
        ),
        Law(
            reason=Reason.MISSING_FIELD,
            message="the deprecated reference needs both `kind` and `name`; better use `secret` or `credentialProvider`",
            cel="(has(self.kind) && has(self.name)) || (!has(self.kind) && !has(self.name) && !has(self.__namespace__))",
            broken=_half_flat,
        ),
    )

    secret: SecretCredentialRef | None = None
    """A Kubernetes Secret."""
    credential_provider: CredentialProviderRef | None = None
    """An external credential provider."""
    kind: Literal["Secret", "CredentialProvider"] | None = None
    """Deprecated: use `secret` or `credentialProvider`."""
    name: Name253 | None = None
    """Deprecated: use `secret` or `credentialProvider`."""
    namespace: Name253 | None = None
    """Deprecated: use `secret.namespace`. Not read for a CredentialProvider."""

    def normalised(self) -> Self:
        if self.kind is None or self.name is None:
            return self
        typed: dict[str, Model] = (
            {"secret": SecretCredentialRef(name=self.name, namespace=self.namespace)}
            if self.kind == "Secret"
            else {"credential_provider": CredentialProviderRef(name=self.name)}
        )
        return self.model_copy(update={"kind": None, "name": None, "namespace": None, **typed})


class ActionCondition(Model):
    """The action is only taken where a request header is there and matches."""

    header: HeaderName
    """The request header that is looked at."""
    pattern: Annotated[Str, MinLen(1), MaxLen(512)]
    """An RE2 expression that is searched in the header's value."""


class ApiKeyConfig(Model):
    """Writes the credential into one request header."""

    when: ActionCondition | None = None
    """Limits the action to requests with a matching header, for instance a placeholder."""
    target_header: Annotated[Str, MaxLen(256), Field(pattern=HEADER_NAME)] = "Authorization"
    """The header that is set."""
    value_template: Annotated[Str, MinLen(1), MaxLen(1024)]
    """The header's value; `{{ .Token }}` stands for the credential."""


class TokenTransformationAction(Model):
    """Puts a credential into the request that the sandbox never holds."""

    laws: ClassVar[tuple[Law, ...]] = (
        needs(
            "apiKey",
            when=lambda raw: raw.get("type", "ApiKey") == "ApiKey",
            unless_cel="(has(self.type) && self.type != 'ApiKey')",
            because="type ApiKey needs `apiKey` with its `valueTemplate`",
        ),
    )

    disabled: Bool = False
    """Leaves the action out without deleting it."""
    fail_strategy: Literal["Allow", "Block", "Ignore"] = "Block"
    """What happens when there is no credential: Block refuses the request, Allow and Ignore forward it as it is."""
    type: Literal["ApiKey", "AliyunSTS"] = "ApiKey"
    """ApiKey writes one header; AliyunSTS signs the request anew."""
    credential_ref: CredentialRef
    """Where the credential comes from."""
    api_key: ApiKeyConfig | None = None
    """How the header is written; needed for ApiKey, not read for AliyunSTS."""
