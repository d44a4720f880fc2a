"""Requests for one program: drawn so that they meet a rule's conditions, then spoiled in the ways that break matchers.

Each starts from one entry of one rule and satisfies it; then come other headers, which other rules read, and up to three
changes of spelling (case, ports, dots, escapes, lines split in two) that must not change the outcome, or must be refused.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from dataplane.compile import Plan
from dataplane.interception import Handling
from e2e.differential import bodies
from e2e.differential import vocabulary as words
from e2e.differential.client import Sent, Transport
from policy.domains import DomainPattern
from policy.program import Match, Rule, Selection
from policy.request import RawRequest
from policy.strings import MatchKind, StringMatch

DEFAULT_PORT = {"http": 80, "https": 443}
BESIDE = 0.06
"""How often a wildcard is met by the name below which it stands, and which it does not cover."""


@dataclass(slots=True, kw_only=True)
class Draft:
    """A request while it is made; everything is text as it goes over the wire."""

    transport: Transport
    method: str = "GET"
    host: str
    port: int | None = None
    path: str = "/"
    query: list[str] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    authority: str | None = None
    """Where it is not what host and port say."""
    host_line: str | None = None
    """The Host line beside an absolute target."""
    origin_form: bool = False
    chunked: bool = False
    upgrade: bool = False

    @property
    def scheme(self) -> str:
        return scheme_of(self.transport)

    @property
    def shown_host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def scheme_of(transport: Transport) -> str:
    return "http" if transport is Transport.PLAIN else "https"


def requests_for(random: Random, selection: Selection, plan: Plan, count: int) -> list[Sent]:
    return [request(random, selection, plan, number) for number in range(count)]


def request(random: Random, selection: Selection, plan: Plan, number: int) -> Sent:
    transport = (Transport.PLAIN, Transport.HTTP1, Transport.HTTP2)[number % 3]
    draft = None
    for _ in range(20):
        draft = start(random, transport, *random.choice(aims(selection, scheme_of(transport))))
        if "_" in draft.host and transport is not Transport.PLAIN:
            continue  # Envoy's parser takes no CONNECT to it
        if transport is Transport.PLAIN or random.random() < 0.04 or plan.host(draft.host).handling is Handling.INTERCEPT:
            break
    assert draft is not None
    noise(random, draft)
    before = (draft.host, draft.port)
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        random.choice(SPOILERS)(random, draft)
    shape = random.random() if transport is Transport.PLAIN else 1.0
    return finished(
        draft, before, tunnelled=shape < 0.12 and "_" not in draft.host, http2=transport is Transport.HTTP2 or 0.12 < shape < 0.22
    )


def aims(selection: Selection, scheme: str) -> list[tuple[Rule, Match]]:
    """Entries that such a request can meet. Rarer kinds of rules, which others hide, count more."""
    found = [(rule, entry) for rule in selection.rules for entry in rule.match if not entry.schemes or scheme in entry.schemes]
    rare = [(rule, entry) for rule, entry in found if rule.bypass or rule.mcp or entry.schemes or entry.ports]
    rarest = [(rule, entry) for rule, entry in rare if (rule.bypass or rule.mcp) and (entry.schemes or entry.headers)]
    return [*found, *rare, *rarest] or [(rule, entry) for rule in selection.rules for entry in rule.match]


def start(random: Random, transport: Transport, rule: Rule, entry: Match) -> Draft:
    draft = Draft(transport=transport, host=host_of(random, random.choice(entry.domains)))
    satisfy(random, draft, entry)
    if rule.token and rule.token.when and random.random() < 0.7:
        draft.headers.append((rule.token.when.header, sample(random, rule.token.when.match, words.VALUE_REGEXES)))
    if rule.mcp and random.random() < 0.85:
        draft.method = "POST" if random.random() < 0.9 else draft.method
        bodies.call(random, draft)
    return draft


def satisfy(random: Random, draft: Draft, entry: Match) -> None:
    if entry.methods:
        draft.method = random.choice([method for method in entry.methods if method != "CONNECT"] or ["GET"])
    elif random.random() < 0.5:
        draft.method = random.choice(words.METHODS)
    if entry.ports:
        draft.port = random.choice(entry.ports)
    if entry.paths:
        draft.path = on_wire(sample(random, random.choice(entry.paths).match, words.PATH_REGEXES), "%")
        draft.path = draft.path if draft.path.startswith("/") else "/"
    elif random.random() < 0.7:
        draft.path = random.choice([path for path in words.PATHS if "%2F" not in path])
    for condition in (each for each in entry.headers if each.name != "host"):
        draft.headers.append((condition.name, sample(random, condition.match, words.VALUE_REGEXES)))
    for parameter in entry.query:
        value = sample(random, parameter.match, words.QUERY_REGEXES)
        draft.query.append(f"{on_wire(parameter.name, '')}={on_wire(value, '+')}")


def sample(random: Random, match: StringMatch, regexes: dict[str, tuple[str, ...]]) -> str:  # type: ignore[type-arg]
    match match.kind:
        case MatchKind.EXACT:
            return match.value
        case MatchKind.PREFIX:
            return match.value + random.choice(("", "", "x", "/more", ","))
        case MatchKind.REGEX:
            return random.choice(regexes.get(match.value, ("1",)))


def on_wire(text: str, plain: str) -> str:
    """Percent-escapes of what a target cannot hold; `plain` is kept."""
    allowed = "/-_.~;,:@!$'()*[]" + plain
    return "".join(c if c.isascii() and (c.isalnum() or c in allowed) else f"%{ord(c):02X}" for c in text)


def host_of(random: Random, pattern: DomainPattern) -> str:
    if pattern.is_any:
        return random.choice((*words.NAMES, *words.ADDRESSES))
    if pattern.is_wildcard:
        if random.random() < BESIDE:
            return pattern.text[2:]
        known = [name for name in words.NAMES if pattern.matches(name)]
        return random.choice([*known, "w" + pattern.text[1:], "a.b" + pattern.text[1:]])
    return pattern.text


def noise(random: Random, draft: Draft) -> None:
    for _ in range(random.choice((0, 0, 1, 2, 4))):
        draft.headers.append((random.choice(words.HEADERS), random.choice(words.REQUEST_VALUES)))
    if random.random() < 0.2:
        draft.query.append(f"{random.choice(words.QUERY)}={on_wire(random.choice(words.QUERY_VALUES), '+')}")
    if random.random() < 0.15 and not draft.body and draft.method in {"POST", "PUT", "PATCH"}:
        draft.body = b"some=body"


def spoil_case(random: Random, draft: Draft) -> None:
    draft.host = "".join(random.choice((c.upper(), c)) for c in draft.host)


def spoil_port(random: Random, draft: Draft) -> None:
    draft.port = random.choice((*words.PORTS, DEFAULT_PORT[draft.scheme]))


def spoil_dot(random: Random, draft: Draft) -> None:
    draft.authority = authority_of(draft.shown_host + ".", draft.port)


def spoil_authority(random: Random, draft: Draft) -> None:
    host = draft.shown_host
    if random.random() < 0.6:
        return
    draft.authority = random.choice(
        (f"user@{host}", f"{host}:", f"{host}:80:80", f"{host}:0", f"{host}:65536", f"{host}:080", "", f"{host}..", f".{host}",
         f"{host} ", f"{host}\t", f"{host},{host}", f"é.{host}", f"{host}/", f"{host}%2e", f"{host}?x", f"{host}#x", "0x7f.1", "127.1")
    )  # fmt: skip


def spoil_address(random: Random, draft: Draft) -> None:
    if ":" in draft.host:
        draft.host = random.choice(
            ("2606:2800:0220:0001:0:0:0:1", "2606:2800:220:1:0::1", "2606:2800:220:1:0:0:0:1", "2606:2800:220:1::0.0.0.1")
        )
    elif draft.host[0].isdigit():
        draft.host = random.choice(("93.184.216.034", "93.184.55330", "0x5d.184.216.34", "1572395042"))


def spoil_private(random: Random, draft: Draft) -> None:
    if draft.transport is Transport.PLAIN and random.random() < 0.3:
        draft.host = random.choice(words.PRIVATE)


def spoil_two_hosts(random: Random, draft: Draft) -> None:
    if random.random() < 0.4:
        draft.headers.append(("Host", random.choice((draft.host, "other.test"))))


def spoil_host_line(random: Random, draft: Draft) -> None:
    draft.host_line = random.choice((*words.NAMES, "", "user@x", draft.host.upper()))


def spoil_origin_form(random: Random, draft: Draft) -> None:
    draft.origin_form = True


def spoil_other_host(random: Random, draft: Draft) -> None:
    if random.random() < 0.4:
        draft.authority = authority_of(random.choice(words.NAMES), draft.port)


def spoil_path_escape(random: Random, draft: Draft) -> None:
    at = random.randrange(len(draft.path))
    if draft.path[at] in "/\\" and random.random() < 0.8:
        return
    draft.path = draft.path[:at] + f"%{ord(draft.path[at]):02{random.choice('xX')}}" + draft.path[at + 1 :]


def spoil_path(random: Random, draft: Draft) -> None:
    at = random.randrange(1, len(draft.path) + 1)
    fine = ("/", "//", "/./", "/../", "/x/../", "\\", "%2e", "%2E%2e/", ".", "..", ";p=1", "%", "%4", "%zz", "+", "'", "|", '"', "<", "{",
            "^", "%c3%a9", "%C3%A9", "%E9", "*", "/%2e/", "%25", "%7e", "%41")  # fmt: skip
    refused = ("%2f", "%5C", "%00", "#f", " ", "\x7f", "é", "\xff", "%2e%2e%2f", "/..;/", "/.;x/")
    piece = random.choice(fine if random.random() < 0.8 else refused)
    draft.path = draft.path[:at] + piece + draft.path[at:]


def spoil_path_case(random: Random, draft: Draft) -> None:
    draft.path = swapped(draft.path)


def swapped(text: str) -> str:
    """Only ASCII letters change, as a client's bytes do."""
    return text.encode("latin-1").swapcase().decode("latin-1")


def spoil_query(random: Random, draft: Draft) -> None:
    piece = random.choice(("q=1", "q=", "q", "=1", "", "&", "q=%", "q=%zz", "q=%41", "%71=1", "q=a%26b", "q=a+b", "q=\xe9", "q=%00",
                           "q=%ff", "q=1#f", "k=a?b", "Q=1", "q==1", "q;k=1", "q=/../x", "q=%2f", "q[]=1", "q%5B%5D=1",
                           "a%2Eb=1"))  # fmt: skip
    draft.query.insert(random.randint(0, len(draft.query)), piece)


def spoil_duplicate(random: Random, draft: Draft) -> None:
    if draft.headers:
        name, value = random.choice(draft.headers)
        draft.headers.insert(random.randint(0, len(draft.headers)), (name, random.choice((value, "", random.choice(words.REQUEST_VALUES)))))


def spoil_split(random: Random, draft: Draft) -> None:
    """A value with a comma, in two lines."""
    for at, (name, value) in enumerate(draft.headers):
        if "," in value:
            first, _, second = value.partition(",")
            draft.headers[at : at + 1] = [(name, first), (name, second)]
            return


def spoil_header_value(random: Random, draft: Draft) -> None:
    if draft.headers:
        at = random.randrange(len(draft.headers))
        name, value = draft.headers[at]
        draft.headers[at] = (name, random.choice(("", swapped(value), value + "x", " " + value, value + ",", value + "\xff")))


def spoil_header_name(random: Random, draft: Draft) -> None:
    if draft.headers and draft.transport is not Transport.HTTP2:
        at = random.randrange(len(draft.headers))
        name, value = draft.headers[at]
        draft.headers[at] = (random.choice((name.upper(), name.title())), value)


def spoil_internal(random: Random, draft: Draft) -> None:
    name = random.choice(
        ("x-groyne-path", "x-groyne-m0", "x-groyne-m", "x-groyne-d0", "X-Groyne-Names", "x-envoy-original-path", "x-forwarded-for")
    )
    draft.headers.append((name.lower() if draft.transport is Transport.HTTP2 else name, random.choice(("/v1", "allow", "1", "read", "0"))))


def spoil_connection(random: Random, draft: Draft) -> None:
    if draft.headers and draft.transport is not Transport.HTTP2:
        draft.headers.append(("connection", random.choice(draft.headers)[0]))


def spoil_method(random: Random, draft: Draft) -> None:
    if draft.transport is Transport.HTTP2:
        draft.method = random.choice((draft.method.lower(), draft.method.title(), "TRACK", "track", "FOO", "CONNECT"))
    else:
        draft.method = random.choice(("PROPFIND", "TRACE", "SEARCH", "HEAD", "GET", "POST", draft.method.lower(), "FOO", "CONNECT"))


def spoil_upgrade(random: Random, draft: Draft) -> None:
    """A WebSocket takes a way of its own to the upstream."""
    if draft.transport is not Transport.HTTP2 and not draft.body:
        draft.method = "GET"
        draft.upgrade = True


def spoil_chunks(random: Random, draft: Draft) -> None:
    draft.chunked = True


def spoil_referer(random: Random, draft: Draft) -> None:
    values = (
        "https://h.test/a?b",
        "http://u@h.test/",
        "https://h.test/#f",
        "/a/b:c",
        "a:b",
        "about:blank",
        "https://h_t.test/",
        "http://[::1]:80/",
    )
    draft.headers.append(("referer", random.choice(values)))


def spoil_body(random: Random, draft: Draft) -> None:
    bodies.spoil(random, draft)


SPOILERS: tuple[Callable[[Random, Draft], None], ...] = (
    spoil_case, spoil_port, spoil_dot, spoil_authority, spoil_address, spoil_private, spoil_two_hosts, spoil_host_line, spoil_origin_form,
    spoil_other_host, spoil_path_escape, spoil_path, spoil_path_escape, spoil_path, spoil_path_case, spoil_query, spoil_query,
    spoil_duplicate, spoil_duplicate, spoil_split, spoil_split, spoil_header_value, spoil_header_value, spoil_header_name, spoil_internal,
    spoil_connection, spoil_method, spoil_body, spoil_chunks, spoil_upgrade, spoil_referer,
)  # fmt: skip


def authority_of(host: str, port: int | None) -> str:
    return host if port is None else f"{host}:{port}"


def finished(draft: Draft, connect_to: tuple[str, int | None], *, tunnelled: bool, http2: bool) -> Sent:
    plain = draft.transport is Transport.PLAIN
    authority = draft.authority if draft.authority is not None else authority_of(draft.shown_host, draft.port)
    target = "?".join([draft.path, "&".join(draft.query)] if draft.query else [draft.path])
    # Space before the version is not the target's: Envoy's parser takes any number of it.
    target = target if http2 else target.rstrip(" ")
    headers = [(name.lower() if http2 else name, value.strip(" \t") if http2 else value) for name, value in draft.headers]
    if draft.upgrade and not http2:
        headers += [("Upgrade", "websocket"), ("Connection", "Upgrade")]
    chunked = bool(draft.body) and not http2 and draft.chunked
    if draft.body and not http2:
        headers.append(("transfer-encoding", "chunked") if chunked else ("content-length", str(len(draft.body))))
    # Envoy's parser knows no underscore in an absolute target's host.
    if plain and not draft.origin_form and not http2 and "_" not in authority:
        target = f"http://{authority}{target}"
        authority = draft.host_line if draft.host_line is not None else authority
    raw = RawRequest(
        method=draft.method, scheme=draft.scheme, authority=authority, path=target, headers=tuple(headers), body=draft.body, http2=http2
    )
    if plain and not tunnelled:
        return Sent(transport=draft.transport, raw=raw, chunked=chunked)
    host, port = connect_to
    is_address = ":" in host or host[0].isdigit()
    connect = f"{f'[{host}]' if ':' in host else host}:{port or DEFAULT_PORT[draft.scheme]}"
    return Sent(transport=draft.transport, raw=raw, connect=connect, server_name="" if is_address or plain else host, chunked=chunked)
