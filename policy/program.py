"""The compiled policy: immutable, hashable values that say what was accepted and nothing else.

Comes out of `policy.compile`; goes into the reference evaluator, the Envoy compiler and ext-proc. Whatever needs a
decision about spelling (case, dots, escapes) was decided when these values were made: nobody below re-reads user text.
"""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

from policy.domains import DomainPattern
from policy.selectors import LabelSelector
from policy.strings import StringMatch

DEFAULT_PRIORITY = 1000
GLOBAL_RESERVED_PRIORITIES = range(100)


class Engine(StrEnum):
    """Who carries a rule out: Envoy by itself, or the ext-proc process beside it."""

    NATIVE = "native"
    EXTPROC = "extproc"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ProfileRef:
    """Names a profile. `namespace` is empty for a GlobalSecurityProfile."""

    kind: Literal["SecurityProfile", "GlobalSecurityProfile"]
    namespace: str = ""
    name: str

    @property
    def of_global(self) -> bool:
        return self.kind == "GlobalSecurityProfile"

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPattern:
    """A condition on the normalised path without its query: `match.kind` is exact, prefix (raw string prefix) or regex."""

    match: StringMatch


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedMatch:
    """A condition on one header (name in lower case) or one query parameter (name as written)."""

    name: str
    match: StringMatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One entry of `match`: dimensions are ANDed, the values inside one are ORed (headers and query: ANDed).

    An empty tuple does not constrain, except `domains`, which is never empty. Methods are upper case, schemes lower case.
    """

    domains: tuple[DomainPattern, ...]
    paths: tuple[PathPattern, ...] = ()
    methods: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    schemes: tuple[str, ...] = ()
    headers: tuple[NamedMatch, ...] = ()
    query: tuple[NamedMatch, ...] = ()

    @property
    def needs_request(self) -> bool:
        """Whether more than host, port and scheme must be known: inside TLS that takes interception."""
        return bool(self.paths or self.methods or self.headers or self.query)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Refuse with `status` (200 to 599) and `body`; None asks for the standard JSON body."""

    status: int = 403
    body: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderManipulation:
    """Set (add or replace) and remove request headers; names in lower case, values literal."""

    set: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SecretKeyRef:
    """One key of one Secret. A Global profile's reference without namespace means the selected pod's (`namespace` None).

    `withheld`: the Secret's owner does not let this rule have it, so it never has a value.
    """

    namespace: str | None
    name: str
    key: str
    withheld: bool = False

    def __str__(self) -> str:
        return f"{self.namespace or '<pod>'}/{self.name}[{self.key}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """The credential is only put in where this request header is there, not empty, and matches the regex."""

    header: str
    match: StringMatch


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueTemplate:
    """A parsed valueTemplate: literal pieces around `.Token`. `parts` holds str for text and None for the token."""

    parts: tuple[str | None, ...]

    def render(self, token: str) -> str:
        return "".join(token if part is None else part for part in self.parts)


class FailStrategy(StrEnum):
    BLOCK = "Block"
    ALLOW = "Allow"
    IGNORE = "Ignore"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTransformation:
    """Put a credential into `target_header` (lower case). A disabled action is dropped when compiling."""

    secret: SecretKeyRef
    target_header: str
    template: ValueTemplate
    when: When | None = None
    fail_strategy: FailStrategy = FailStrategy.BLOCK


@dataclass(frozen=True, slots=True, kw_only=True)
class CelExpression:
    """A CEL expression that `policy.cel` has compiled without a problem."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GoTemplate:
    """A Go template that `policy.go_templates` has parsed without a problem."""

    text: str


ValueSource = str | CelExpression | GoTemplate
"""A literal value, or how one is computed from the request. A literal is text in UTF-8, not Latin-1: no header holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRef:
    """A Secret of which several keys are read. `namespace` and `withheld` as in `SecretKeyRef`."""

    namespace: str | None
    name: str
    withheld: bool = False

    def key(self, key: str) -> SecretKeyRef:
        return SecretKeyRef(namespace=self.namespace, name=self.name, key=key, withheld=self.withheld)

    def __str__(self) -> str:
        return f"{self.namespace or '<pod>'}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRef:
    """A credential provider by name, and what it is told besides who asks: name and value of each parameter, in order of name."""

    name: str
    parameters: tuple[tuple[str, ValueSource], ...] = ()

    def __str__(self) -> str:
        return f"provider {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyForm:
    """The credential goes into one header, as `TokenTransformation` has it."""

    target_header: str
    template: ValueTemplate
    when: When | None = None

    keys = ("apiKey",)


@dataclass(frozen=True, slots=True, kw_only=True)
class AliyunForm:
    """The credential signs the request anew, in the way in which the request came signed."""

    when = None
    keys = ("accessKeyId", "accessKeySecret", "securityToken")


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialExchange:
    """What only ext-proc does with a credential: one that a provider issues, or one that signs the request."""

    source: ProviderRef | SecretRef
    form: ApiKeyForm | AliyunForm
    fail_strategy: FailStrategy = FailStrategy.BLOCK


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigMapRef:
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """Named values that CEL expressions and templates of a profile read: a ConfigMap's, or those that stand here."""

    name: str
    config_map: ConfigMapRef | None = None
    inline: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditHook:
    """A webhook that is told what became of a request that a rule matched.

    `json` is the canonical text of an object whose strings are Go templates; it and `text` exclude each other. `timeout` in
    seconds, for one attempt.
    """

    name: str
    url: GoTemplate
    when: CelExpression | None = None
    method: str = "POST"
    headers: tuple[tuple[str, GoTemplate], ...] = ()
    json: str | None = None
    text: GoTemplate | None = None
    timeout: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRule:
    """`tools` (UTF-8 as Latin-1 text) empty means any tool. `method` other than tools/call never matches anything that is enforced."""

    method: str
    tools: tuple[str, ...]
    allow: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class McpToolPolicy:
    rules: tuple[ToolRule, ...]
    default_allow: bool = False
    unsupported_version_deny: bool = True
    deny: Block = Block()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One compiled rule with the actions in their fixed order: bypass, block, mcp, headers, then token or exchange.

    `audit` are its own hooks, or its profile's where it has none. A rule has `token` or `exchange` or neither.
    """

    profile: ProfileRef
    name: str
    index: int
    match: tuple[Match, ...]
    bypass: bool = False
    block: Block | None = None
    mcp: McpToolPolicy | None = None
    headers: HeaderManipulation | None = None
    token: TokenTransformation | None = None
    exchange: CredentialExchange | None = None
    audit: tuple[AuditHook, ...] = ()

    @property
    def engine(self) -> Engine:
        """What Envoy cannot do by itself, a credential from elsewhere and a webhook, is for ext-proc."""
        return Engine.EXTPROC if self.exchange or self.audit else Engine.NATIVE

    @property
    def reads_body(self) -> bool:
        """Whether there are requests that it cannot judge, or change, by their headers alone."""
        return bool(self.mcp or (self.exchange and isinstance(self.exchange.form, AliyunForm)))

    @property
    def issued(self) -> bool:
        """Whether its credential comes from a provider."""
        return self.exchange is not None and isinstance(self.exchange.source, ProviderRef)

    @property
    def secret(self) -> SecretKeyRef | SecretRef | None:
        """The Secret that it reads, as written."""
        if self.token:
            return self.token.secret
        return self.exchange.source if self.exchange and isinstance(self.exchange.source, SecretRef) else None

    @property
    def id(self) -> str:
        """`namespace/profile/rule` (or `profile/rule`): stable, unique in a program, fit for logs. A `/` in the rule's name is escaped."""
        return f"{self.profile}/{self.name.replace('%', '%25').replace('/', '%2F')}"

    @property
    def terminal(self) -> bool:
        return self.bypass or self.block is not None

    @property
    def of_global(self) -> bool:
        return self.profile.of_global


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One accepted profile."""

    ref: ProfileRef
    priority: int = DEFAULT_PRIORITY
    selector: LabelSelector
    rules: tuple[Rule, ...]
    escaped_slash_hosts: tuple[DomainPattern, ...] = ()
    passthrough_domains: tuple[DomainPattern, ...] = ()
    inputs: tuple[Input, ...] = ()

    @property
    def order(self) -> tuple[int, bool, str, str]:
        """Priority, Global before namespaced, namespace, name (design decision 2)."""
        return (self.priority, not self.ref.of_global, self.ref.namespace, self.ref.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose requests are judged: a pod's namespace and labels."""

    namespace: str = "default"
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """All accepted profiles, in order."""

    profiles: tuple[Profile, ...] = ()

    def select(self, identity: Identity) -> "Selection":
        """What applies to one identity: its namespace's profiles and the Global ones whose selector matches its labels."""
        labels = dict(identity.labels)
        chosen = tuple(p for p in self.profiles if p.ref.namespace in ("", identity.namespace) and p.selector.matches(labels))
        return Selection(profiles=chosen, identity=identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The profiles that hold for one identity, in order."""

    profiles: tuple[Profile, ...] = ()
    identity: Identity = field(default_factory=Identity)

    @property
    def rules(self) -> tuple[Rule, ...]:
        return tuple(rule for profile in self.profiles for rule in profile.rules)

    def secret_ref(self, ref: SecretKeyRef) -> SecretKeyRef:
        """The reference with its namespace decided: a Global profile's bare reference reads the pod's namespace."""
        if ref.namespace is not None:
            return ref
        return replace(ref, namespace=self.identity.namespace)

    def secret_refs(self, rule: Rule) -> tuple[SecretKeyRef, ...]:
        """Every key that the rule reads, resolved."""
        secret = rule.secret
        if isinstance(secret, SecretRef) and rule.exchange:
            return tuple(self.secret_ref(secret.key(key)) for key in rule.exchange.form.keys)
        return (self.secret_ref(secret),) if isinstance(secret, SecretKeyRef) else ()
