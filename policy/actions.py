"""`actions` of a rule → compiled actions, with a problem for what cannot be done, or not in every place alike.

An action that the rule's own bypass or block keeps from ever running is checked, reported and left out. What only the
ext-proc engine can do is refused where that engine does not run: nothing is accepted and then ignored.
"""

import re
from dataclasses import dataclass, replace

from crds.actions import BlockAction, HeaderManipulationAction, MCPDenyResponse, MCPToolPolicySpec, SecurityRuleActions
from crds.credentials import ActionCondition, ApiKeyConfig, TokenTransformationAction
from crds.problem import Problem
from policy.audit import compile_hooks
from policy.headers import is_reserved, is_written_by_proxy
from policy.patterns import regex, wire
from policy.program import (
    AliyunForm,
    ApiKeyForm,
    AuditHook,
    Block,
    CredentialExchange,
    Engine,
    FailStrategy,
    HeaderManipulation,
    Input,
    McpToolPolicy,
    ProfileRef,
    ProviderRef,
    Rule,
    SecretRef,
    TokenTransformation,
    ToolRule,
    When,
)
from policy.reasons import Reason
from policy.report import Report, listed, quoted
from policy.templates import parse_template
from policy.values import compile_values

API_KEY = "apiKey"
"""The Secret's key that holds an ApiKey credential."""

PLACEHOLDER = "__PLACEHOLDER__"
"""In `when.pattern`: any text without spaces, a shorter way to write `\\S+`."""

NATIVE_ONLY = frozenset({Engine.NATIVE})

WITHOUT_BODY = frozenset({204, 205, 304})

_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a rule finds in its profile: the engines that will be there, its inputs (`names` are all that are declared) and its hooks."""

    engines: frozenset[Engine] = NATIVE_ONLY
    inputs: tuple[Input, ...] = ()
    names: frozenset[str] = frozenset()
    audit: tuple[AuditHook, ...] = ()


def compile_actions(actions: SecurityRuleActions, rule: Rule, report: Report, around: Surroundings) -> Rule:
    """`rule` with its actions; it comes with its name and conditions only."""
    block = _block(actions.block, report.at("block")) if actions.block else None
    mcp = _mcp(actions.mcp_tool_policy, report.at("mcpToolPolicy")) if actions.mcp_tool_policy else None
    headers = _headers(actions.header_manipulation, report.at("headerManipulation")) if actions.header_manipulation else None
    rule = replace(rule, audit=_audit(actions, report.at("audit"), around))
    acting = replace(rule, mcp=mcp, headers=headers)
    if actions.token_transformation:
        acting = _credential(actions.token_transformation, acting, report.at("tokenTransformation"), around)
    _unreachable(actions, report)
    if actions.bypass:
        return replace(rule, bypass=True)
    return replace(rule, block=block) if block else acting


def _audit(actions: SecurityRuleActions, report: Report, around: Surroundings) -> tuple[AuditHook, ...]:
    """A rule's own hooks stand for the profile's."""
    if not actions.audit:
        return around.audit
    if Engine.EXTPROC not in around.engines:
        unavailable(report, "audit webhooks")
    return compile_hooks(actions.audit, report, around.names)


def unavailable(report: Report, feature: str) -> None:
    report.fatal(
        Reason.ENGINE_UNAVAILABLE,
        f"{feature} cannot be enforced by Envoy alone, and no ext-proc runs here: let it run, or remove this, so that nothing"
        " is accepted and then ignored",
    )


def _unreachable(actions: SecurityRuleActions, report: Report) -> None:
    given = {
        "block": actions.block,
        "mcpToolPolicy": actions.mcp_tool_policy,
        "headerManipulation": actions.header_manipulation,
        "tokenTransformation": actions.token_transformation,
    }
    winner = "bypass" if actions.bypass else "block" if actions.block else None
    for field, action in given.items():
        if winner and action is not None and field != winner:
            report.at(field).warn(Reason.UNREACHABLE_ACTION, f"the rule's `{winner}` comes first and ends it: this never runs")


def _block(action: BlockAction | MCPDenyResponse, report: Report) -> Block:
    status = action.status_code
    if status < 200:
        message = f"{status} would not refuse anything, clients take it for a notice: use 403 or another status from 200 on"
        report.at("statusCode").fatal(Reason.INVALID_STATUS, message)
    if status in WITHOUT_BODY:
        if action.body:
            report.at("body").fatal(Reason.INVALID_STATUS, f"an answer with status {status} has no body: remove it or use another status")
        return Block(status=status, body="")
    return Block(status=status, body=None if action.body is None else wire(action.body))


def _mcp(policy: MCPToolPolicySpec, report: Report) -> McpToolPolicy:
    deny = _block(policy.deny_response, report.at("denyResponse")) if policy.deny_response else Block()
    return McpToolPolicy(
        rules=tuple(
            ToolRule(method=rule.method, tools=tuple(wire(tool) for tool in dict.fromkeys(rule.tool_names)), allow=rule.action == "allow")
            for rule in policy.rules
        ),
        default_allow=policy.default_action == "allow",
        unsupported_version_deny=policy.unsupported_version_action == "deny",
        deny=deny,
    )


def _headers(action: HeaderManipulationAction, report: Report) -> HeaderManipulation:
    for number, header in enumerate(action.set):
        _writable(header.name, report.at("set").at(number).at("name"))
        _value(header.value, report.at("set").at(number).at("value"))
    for number, name in enumerate(action.remove):
        _writable(name, report.at("remove").at(number))
    written = dict.fromkeys(header.name.lower() for header in action.set)
    if both := [name for name in action.remove if name.lower() in written]:
        report.at("remove").fatal(Reason.DUPLICATE, f"{listed(both)} is also under `set`: keep it in one of them")
    return HeaderManipulation(
        set=tuple({header.name.lower(): wire(header.value) for header in action.set}.items()),
        remove=tuple(dict.fromkeys(name.lower() for name in action.remove)),
    )


def _writable(name: str, report: Report) -> None:
    if is_reserved(name.lower()):
        report.fatal(Reason.RESERVED_HEADER, f"{quoted(name)} says where a request goes or how it is framed: no rule may change it")


def _value(value: str, report: Report) -> None:
    if _CONTROLS.search(value):
        report.fatal(Reason.INVALID_VALUE, "a header's value holds no line break or other control character: remove it")
    elif value != value.strip(" \t"):
        report.fatal(Reason.INVALID_VALUE, "the space around a header's value is cut off on its way: remove it")


def _credential(action: TokenTransformationAction, rule: Rule, report: Report, around: Surroundings) -> Rule:
    """`rule` with what is done with the credential: Envoy's `token` where it can, else an `exchange`."""
    if action.disabled:
        return rule
    form = _form(action, report)
    source = _source(action, rule.profile, report, around.names)
    if form is None or source is None:
        return rule
    fail_strategy = FailStrategy(action.fail_strategy or FailStrategy.BLOCK)
    if isinstance(form, ApiKeyForm) and isinstance(source, SecretRef):
        secret = source.key(API_KEY)
        token = TokenTransformation(
            secret=secret, target_header=form.target_header, template=form.template, when=form.when, fail_strategy=fail_strategy
        )
        return replace(rule, token=token)
    if Engine.EXTPROC not in around.engines:
        _exchange_unavailable(source, report)
    return replace(rule, exchange=CredentialExchange(source=source, form=form, fail_strategy=fail_strategy))


def _exchange_unavailable(source: ProviderRef | SecretRef, report: Report) -> None:
    if isinstance(source, ProviderRef):
        unavailable(report.at("credentialRef").at("credentialProvider"), "a credential from a provider")
    else:
        unavailable(report.at("type"), "type AliyunSTS")


def _source(action: TokenTransformationAction, ref: ProfileRef, report: Report, inputs: frozenset[str]) -> ProviderRef | SecretRef | None:
    reference = action.credential_ref
    if reference.secret:
        return SecretRef(namespace=reference.secret.namespace or ref.namespace or None, name=reference.secret.name)
    if reference.credential_provider is None:
        return None
    place = report.at("credentialRef").at("credentialProvider").at("parameters")
    parameters = compile_values(reference.credential_provider.parameters, place, inputs)
    return ProviderRef(name=reference.credential_provider.name, parameters=parameters)


def _form(action: TokenTransformationAction, report: Report) -> ApiKeyForm | AliyunForm | None:
    if action.type == "AliyunSTS":
        return AliyunForm()
    return _api_key(action.api_key, report.at("apiKey")) if action.api_key else None


def _api_key(config: ApiKeyConfig, report: Report) -> ApiKeyForm | None:
    target = (config.target_header or "Authorization").lower()
    _writable(target, report.at("targetHeader"))
    when = _when(config.when, report.at("when")) if config.when else None
    template = parse_template(config.value_template)
    if isinstance(template, Problem):
        report.at("valueTemplate").add(template)
        return None
    if None not in template.parts:
        report.at("valueTemplate").warn(Reason.UNUSED_TOKEN, "the credential is never used: write `{{ .Token }}` where it belongs")
    return ApiKeyForm(target_header=target, template=template, when=when)


def _when(condition: ActionCondition, report: Report) -> When | None:
    name = condition.header.lower()
    if is_written_by_proxy(name):
        message = f"{quoted(name)} is written by the proxy or meant for it alone: a condition cannot read what the client sent in it"
        report.at("header").fatal(Reason.RESERVED_HEADER, message)
    match = regex(condition.pattern.replace(PLACEHOLDER, r"\S+"))
    if isinstance(match, Problem):
        report.at("pattern").add(match)
        return None
    return When(header=name, match=match)
