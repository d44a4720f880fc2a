"""What a matching rule does. In one rule the order is bypass, block, mcpToolPolicy, headerManipulation, tokenTransformation."""

from typing import Annotated, Any, ClassVar, Literal

from annotated_types import MaxLen, MinLen
from pydantic import Field

from crds.audit import AuditAction
from crds.base import Model
from crds.credentials import TokenTransformationAction
from crds.fields import Bool, HeaderValue2048, Keyed, LowerHeaderName, StatusCode, Str
from crds.laws import Law, Place, Raw, entries
from crds.reasons import Reason

AllowDeny = Literal["allow", "deny"]


class BlockAction(Model):
    """Refuses the request."""

    status_code: StatusCode = 403
    """The HTTP status of the answer. Below 200 the API allows it, but the profile is not accepted."""
    body: Str | None = None
    """The answer's body, sent as it stands."""


class MCPDenyResponse(Model):
    """The answer to a tool call that is denied."""

    status_code: StatusCode = 403
    """The HTTP status of the answer."""
    body: Str | None = None
    """The answer's body."""


class MCPToolPolicyRule(Model):
    """Allows or denies calls of some tools."""

    method: Annotated[Str, MinLen(1)]
    """The JSON-RPC method. Only tools/call is enforced; others pass."""
    tool_names: tuple[Str, ...] = ()
    """Tools, one of which must be called; empty means any."""
    action: AllowDeny
    """What happens to a call that matches."""


class MCPToolPolicySpec(Model):
    """Says which MCP tools may be called. The first rule that matches decides."""

    default_action: AllowDeny = "deny"
    """What happens to a call that no rule matches."""
    unsupported_version_action: Literal["deny", "passthrough"] = "deny"
    """What happens to a call whose MCP-Protocol-Version is missing or not supported."""
    deny_response: MCPDenyResponse | None = None
    """The answer to a call that is denied."""
    rules: Annotated[tuple[MCPToolPolicyRule, ...], MinLen(1)]
    """Rules, tried in order."""


class HeaderValue(Model):
    """One header and its value."""

    name: LowerHeaderName
    """The header's name, in lower case."""
    value: HeaderValue2048
    """The value, sent as it stands. Not for credentials."""


def _set_and_removed(raw: Raw) -> tuple[Place, ...]:
    names = {entry.get("name") for entry in entries(raw, "set") if isinstance(entry, dict) and isinstance(entry.get("name"), str)}
    return tuple(("remove", index) for index, name in enumerate(entries(raw, "remove")) if isinstance(name, str) and name in names)


class HeaderManipulationAction(Model):
    """Sets and removes request headers."""

    laws: ClassVar[tuple[Law, ...]] = (
        Law(
            reason=Reason.CONFLICT,
            message="a header may not be in both `set` and `remove`: keep it in one of them",
            cel="!has(self.set) || !has(self.remove) || self.set.all(header, !(header.name in self.remove))",
            broken=_set_and_removed,
        ),
    )

    set: Annotated[tuple[HeaderValue, ...], MaxLen(16), Keyed("name")] = ()
    """Headers that are added, or replaced where they are there already."""
    remove: Annotated[tuple[LowerHeaderName, ...], MaxLen(16)] = ()
    """Names of headers that are removed, in lower case."""


def _without_default(schema: dict[str, Any]) -> None:
    """False is the same as absent: stored objects stay as they were written."""
    schema.pop("default", None)


class SecurityRuleActions(Model):
    """The actions of one rule. Bypass, block and a denying mcpToolPolicy end the request's way through the rules."""

    bypass: Annotated[Bool, Field(json_schema_extra=_without_default)] = False
    """Forwards the request and skips every later rule."""
    block: BlockAction | None = None
    """Refuses the request."""
    mcp_tool_policy: MCPToolPolicySpec | None = None
    """Says which MCP tools may be called."""
    header_manipulation: HeaderManipulationAction | None = None
    """Sets and removes request headers."""
    token_transformation: TokenTransformationAction | None = None
    """Puts a credential into the request."""
    audit: Annotated[tuple[AuditAction, ...], Keyed("name")] = ()
    """Audit actions of this rule; where there are any they replace the profile's."""
