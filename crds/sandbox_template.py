"""SandboxTemplate of kubernetes-sigs/agent-sandbox, in both served versions.

It is its owner's kind: what Groyne reads is typed, every other field survives `to_dict()` unchanged, and its CRD is not
generated here. Addresses are checked, since the owner's schema leaves that to the NetworkPolicy made from them.
"""

from ipaddress import ip_network
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_core import core_schema

from crds.base import Open, custom
from crds.core import ObjectMeta, TemplateMeta
from crds.fields import Checked, Int32, Labels, Str
from crds.reasons import Reason

GROUP = "extensions.agents.x-k8s.io"


def _not_cidr(text: str) -> str | None:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return "write an address range such as `10.0.0.0/8` or `fc00::/7`"
    return None if "/" in text else "write the prefix length too, for one address `/32` (IPv6: `/128`)"


class _IntOrString:
    """A port: a number, or the name of a container's port."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(cls._read)

    @staticmethod
    def _read(raw: Any) -> int | str:
        if isinstance(raw, bool) or not isinstance(raw, int | str):
            raise custom(Reason.INVALID_TYPE, "must be a port number or a port's name")
        if isinstance(raw, int) and not 1 <= raw <= 65535:
            raise custom(Reason.INVALID_VALUE, "must be between 1 and 65535")
        return raw


Cidr = Annotated[Str, Checked(_not_cidr)]


class Selector(Open):
    """A label selector of a NetworkPolicy peer; passed on as it is."""

    match_labels: Labels = Field(default_factory=dict)


class IPBlock(Open):
    cidr: Cidr
    except_: tuple[Cidr, ...] = Field(default=(), alias="except")


class NetworkPolicyPeer(Open):
    pod_selector: Selector | None = None
    namespace_selector: Selector | None = None
    ip_block: IPBlock | None = None


class NetworkPolicyPort(Open):
    protocol: Literal["TCP", "UDP", "SCTP"] | None = None
    port: Annotated[int | str, _IntOrString] | None = None
    end_port: Int32 | None = None


class IngressRule(Open):
    from_: tuple[NetworkPolicyPeer, ...] = Field(default=(), alias="from")
    ports: tuple[NetworkPolicyPort, ...] = ()


class EgressRule(Open):
    to: tuple[NetworkPolicyPeer, ...] = ()
    ports: tuple[NetworkPolicyPort, ...] = ()


class NetworkPolicySpec(Open):
    """The rules of the template's NetworkPolicy; a direction without rules is closed."""

    ingress: tuple[IngressRule, ...] = ()
    egress: tuple[EgressRule, ...] = ()


class PodTemplate(Open):
    metadata: TemplateMeta = Field(default_factory=TemplateMeta)
    spec: dict[Str, Any] = Field(default_factory=dict, repr=False)


class SandboxTemplateSpec(Open):
    """`network_policy` None asks for the built-in policy; an empty one closes both directions."""

    pod_template: PodTemplate = Field(default_factory=PodTemplate)
    network_policy: NetworkPolicySpec | None = None
    network_policy_management: Literal["Managed", "Unmanaged", ""] = "Managed"

    @property
    def managed(self) -> bool:
        return self.network_policy_management != "Unmanaged"


class SandboxTemplate(Open):
    api_version: Literal["extensions.agents.x-k8s.io/v1beta1", "extensions.agents.x-k8s.io/v1alpha1"] = "extensions.agents.x-k8s.io/v1beta1"
    kind: Literal["SandboxTemplate"] = "SandboxTemplate"
    metadata: ObjectMeta
    spec: SandboxTemplateSpec
