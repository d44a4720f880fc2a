"""SecurityProfile and GlobalSecurityProfile: HTTP policy for the pods that a selector names.

Both share their spec; a Global one reaches pods in every namespace and has no namespace of its own to read from.
"""

from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import Field, Strict

from crds.actions import SecurityRuleActions
from crds.audit import AuditAction
from crds.base import Model
from crds.conditions import ProfileStatus
from crds.core import ObjectMeta
from crds.fields import INT32_MAX, Key63, Keyed, Name253, Str, StrMap
from crds.laws import Law, Place, Raw, exactly_one
from crds.match import RuleMatch
from crds.reasons import Reason
from crds.selector import LabelSelector

GROUP = "agents.kruise.io"
VERSION = "v1alpha1"
DEFAULT_PRIORITY = 1000

MAX_RULES = 16384
"""No object that etcd stores (1.5 MiB) holds as many rules of useful length; CEL needs some bound to estimate its cost."""

Priority = Annotated[int, Strict(), Ge(0), Le(INT32_MAX), Field(json_schema_extra={"format": "int32"})]


class ConfigMapInputRef(Model):
    """A ConfigMap whose `data` gives the values."""

    name: Name253
    """The ConfigMap's name."""
    namespace: Annotated[Str, MaxLen(63)] | None = None
    """Its namespace: by default the profile's. A GlobalSecurityProfile must name it."""


class SecurityProfileInput(Model):
    """A named set of values that CEL expressions and templates of this profile can read."""

    laws: ClassVar[tuple[Law, ...]] = (exactly_one("configMap", "inline"),)

    name: Key63
    """The name under which the values are read."""
    config_map: ConfigMapInputRef | None = None
    """Takes the values from a ConfigMap."""
    inline: StrMap | None = None
    """The values themselves."""


def _namespace_missing(raw: Raw) -> tuple[Place, ...]:
    reference = raw.get("configMap")
    missing = isinstance(reference, dict) and not reference.get("namespace")
    return (("configMap", "namespace"),) if missing else ()


class GlobalInput(SecurityProfileInput):
    """A named set of values that CEL expressions and templates of this profile can read."""

    laws: ClassVar[tuple[Law, ...]] = (
        *SecurityProfileInput.laws,
        Law(
            reason=Reason.MISSING_FIELD,
            message="a GlobalSecurityProfile has no namespace of its own: set `configMap.namespace`",
            cel="!has(self.configMap) || (has(self.configMap.__namespace__) && size(self.configMap.__namespace__) > 0)",
            broken=_namespace_missing,
        ),
    )


class SecurityRule(Model):
    """Conditions, and what happens to a request that meets them."""

    name: Name253
    """Tells the rule apart in its profile; shows up in answers, logs and metrics."""
    match: Annotated[tuple[RuleMatch, ...], MinLen(1)]
    """Conditions, one of which must hold."""
    actions: SecurityRuleActions
    """What happens then."""


class SecurityProfileSpec(Model):
    """HTTP policy for selected pods."""

    selector: LabelSelector
    """Which pods; an empty selector means every pod in scope."""
    priority: Priority = DEFAULT_PRIORITY
    """Lower is evaluated earlier. Then Global comes before namespaced, then namespace and name decide."""
    inputs: Annotated[tuple[SecurityProfileInput, ...], Keyed("name")] = ()
    """Named values for CEL expressions and templates."""
    rules: Annotated[tuple[SecurityRule, ...], MaxLen(MAX_RULES), Keyed("name")] = ()
    """Rules in order. Every matching rule acts until one ends the request's way; none forwards everything."""
    audit: Annotated[tuple[AuditAction, ...], Keyed("name")] = ()
    """Audit actions of every rule that has none of its own."""


class GlobalSecurityProfileSpec(SecurityProfileSpec):
    """HTTP policy for selected pods of every namespace."""

    inputs: Annotated[tuple[GlobalInput, ...], Keyed("name")] = ()
    """Named values for CEL expressions and templates."""


class SecurityProfile(Model):
    """HTTP policy for selected pods of one namespace."""

    api_version: Literal["agents.kruise.io/v1alpha1"] = "agents.kruise.io/v1alpha1"
    kind: Literal["SecurityProfile"] = "SecurityProfile"
    metadata: ObjectMeta
    spec: SecurityProfileSpec
    """What the profile demands."""
    status: ProfileStatus | None = None
    """What is known of the profile; written by the controller."""


class GlobalSecurityProfile(Model):
    """HTTP policy for selected pods of every namespace."""

    api_version: Literal["agents.kruise.io/v1alpha1"] = "agents.kruise.io/v1alpha1"
    kind: Literal["GlobalSecurityProfile"] = "GlobalSecurityProfile"
    metadata: ObjectMeta
    spec: GlobalSecurityProfileSpec
    """What the profile demands."""
    status: ProfileStatus | None = None
    """What is known of the profile; written by the controller."""
