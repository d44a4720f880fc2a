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
    """One compiled rule with the actions in their fixed order: bypass, block, mcp, headers, token."""

    profile: ProfileRef
    name: str
    index: int
    match: tuple[Match, ...]
    bypass: bool = False
    block: Block | None = None
    mcp: McpToolPolicy | None = None
    headers: HeaderManipulation | None = None
    token: TokenTransformation | None = None
    engine: Engine = Engine.NATIVE

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
