"""The Lua filter judges MCP bodies as the evaluator does: nasty bodies by name, then generated ones, through one real Envoy."""

from collections import Counter
from collections.abc import Iterable, Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from policy.mcp import MAX_BODY, MAX_DEPTH, denial
from policy.program import McpToolPolicy, ToolRule
from policy.request import Request
from unit_tests.dataplane.mcp_envoy import VERDICTS, Headers, McpEnvoy, ask, closing, mcp_envoy, verdicts

pytestmark = pytest.mark.envoy

VERSION = (("MCP-Protocol-Version", "2025-06-18"),)
ENCODED = "é😀".encode().decode("latin-1")


def rule(*tools: str, allow: bool, method: str = "tools/call") -> ToolRule:
    return ToolRule(method=method, tools=tools, allow=allow)


POLICIES = (
    McpToolPolicy(rules=(rule("delete_repo", allow=False),), default_allow=True, unsupported_version_deny=False),
    McpToolPolicy(rules=(rule("read", ENCODED, "", "nul\0", allow=True),)),
    McpToolPolicy(rules=(rule(allow=False, method="tools/list"), rule("a", "b", allow=False), rule("delete_repo", "c", allow=True))),
    McpToolPolicy(rules=(rule("read", allow=True), rule(allow=False)), default_allow=True),
)
"""Deny one; allow some; the first rule wins; a rule for any tool."""

ALL_DENY = "deny deny deny deny"
ALL_ALLOW = "allow allow allow allow"
READ = "allow allow deny allow"
DELETE = "deny deny allow deny"
OTHER = "allow deny deny deny"
ENCODED_CALL = "allow allow deny deny"

CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"delete_repo","arguments":{}}}'
GOOD = CALL.replace(b"delete_repo", b"read")
OPEN = MAX_DEPTH - 2


def call(name: str) -> bytes:
    """A call whose name is written as given, escapes and all."""
    return CALL.replace(b"delete_repo", name.encode())


def long_call(length: int) -> bytes:
    return GOOD.replace(b"{}", b'"' + b"x" * (length - len(GOOD)) + b'"')


BODIES = {
    # what a body says
    "a denied tool": (CALL, DELETE),
    "an allowed tool": (GOOD, READ),
    "no body": (b"", ALL_ALLOW),
    "another method": (GOOD.replace(b"tools/call", b"tools/list"), ALL_ALLOW),
    "a method in other letters": (CALL.replace(b"tools/call", b"Tools/Call"), ALL_ALLOW),
    "no method": (b'{"jsonrpc":"2.0","id":1,"result":{}}', ALL_ALLOW),
    "a method that is no string": (b'{"method":["tools/call"],"params":{"name":"delete_repo"}}', ALL_ALLOW),
    "no jsonrpc member": (b'{"method":"tools/call","params":{"name":"delete_repo"}}', DELETE),
    "an empty name": (call(""), "allow allow deny deny"),
    "a name with NUL": (call("nul\\u0000"), "allow allow deny deny"),
    # H38: one call in many spellings
    "the name in escapes": (call("\\u0064\\u0065lete\\u005Frepo"), DELETE),
    "the key in escapes": (CALL.replace(b'"name"', b'"n\\u0061m\\u0065"'), DELETE),
    "the method in escapes": (CALL.replace(b"tools/call", b"tools\\/c\\u0061ll"), DELETE),
    "the params' key in escapes": (CALL.replace(b'"params"', b'"p\\u0061rams"'), DELETE),
    "every character of the keys in escapes": (
        CALL.replace(b'"params"', b'"\\u0070\\u0061\\u0072\\u0061\\u006d\\u0073"').replace(b'"name"', b'"\\u006e\\u0061\\u006d\\u0065"'),
        DELETE,
    ),
    "params before the method": (b'{"params":{"arguments":{},"name":"delete_repo"},"method":"tools/call"}', DELETE),
    "white space": (b' \t\r\n{ "method"\n:\t"tools/call" ,"params" : { "name" :\r"delete_repo" } } \n', DELETE),
    "the name nested in other params": (b'{"method":"tools/call","params":{"params":{"name":"read"},"name":"delete_repo"}}', DELETE),
    "params inside arguments": (b'{"method":"tools/call","params":{"name":"read","arguments":{"name":"delete_repo"}}}', READ),
    "only a nested name": (b'{"method":"tools/call","params":{"params":{"name":"read"}}}', ALL_DENY),
    "params beside a nested method": (b'{"a":{"method":"ping"},"method":"tools/call","params":{"name":"delete_repo"}}', DELETE),
    # names beyond ASCII
    "a name in UTF-8": (call("é😀"), ENCODED_CALL),
    "a name in escaped surrogates": (call("\\u00e9\\uD83D\\ude00"), ENCODED_CALL),
    "a lone high surrogate": (call("\\ud83d"), OTHER),
    "a lone low surrogate": (call("\\ude00"), OTHER),
    "surrogates in the wrong order": (call("é\\ude00\\ud83d"), OTHER),
    "a high surrogate before a character": (call("é\\ud83d\\u0041"), OTHER),
    "two high surrogates, then a low one": (call("é\\ud83d\\ud83d\\ude00"), OTHER),
    "a name that only looks alike": (call("r\u0435ad"), OTHER),
    "a name in another normal form": (call("e\u0301😀"), OTHER),
    # what two readers may read in two ways
    "the name twice": (CALL.replace(b'"name"', b'"name":"read","name"'), ALL_DENY),
    "the name twice, once in escapes": (CALL.replace(b'"name"', b'"name":"read","\\u006eame"'), ALL_DENY),
    "the name twice, once in capitals": (CALL.replace(b'"name"', b'"NAME":"read","name"'), ALL_DENY),
    "the params twice": (CALL[:-1] + b',"params":{"name":"read"}}', ALL_DENY),
    "the method twice": (CALL[:-1] + b',"method":"ping"}', ALL_DENY),
    "the method twice, first another": (CALL.replace(b'"method"', b'"method":"ping","method"'), ALL_DENY),
    "the method in capitals": (CALL.replace(b'"method"', b'"Method"'), ALL_DENY),
    "the params in capitals": (CALL.replace(b'"params"', b'"PARAMS"'), ALL_DENY),
    "the params with a long s": (CALL.replace(b'"params"', '"param\u017f"'.encode()), ALL_DENY),
    "the params with a long s in escapes": (CALL.replace(b'"params"', b'"param\\u017F"'), ALL_DENY),
    "the name in capitals": (CALL.replace(b'"name"', b'"Name"'), ALL_DENY),
    "another key twice": (CALL.replace(b'"id":1', b'"id":1,"id":2'), DELETE),
    "params twice in what is no call": (b'{"method":"ping","params":1,"params":2}', ALL_ALLOW),
    # calls that name no tool
    "no params": (b'{"method":"tools/call"}', ALL_DENY),
    "no name": (b'{"method":"tools/call","params":{}}', ALL_DENY),
    "params in a list": (b'{"method":"tools/call","params":["read"]}', ALL_DENY),
    "a name that is null": (GOOD.replace(b'"read"', b"null"), ALL_DENY),
    "a name that is a number": (GOOD.replace(b'"read"', b"1"), ALL_DENY),
    "a name that is a list": (GOOD.replace(b'"read"', b'["read"]'), ALL_DENY),
    # batches
    "an empty batch": (b"[]", ALL_ALLOW),
    "a batch of one": (b"[" + CALL + b"]", DELETE),
    "a batch with one denied call": (b"[" + GOOD + b" , " + CALL + b"]", ALL_DENY),
    "a batch of allowed calls": (b"[" + GOOD + b"," + GOOD + b"]", READ),
    "a batch with no call": (b'[{"method":"ping"},{"result":1}]', ALL_ALLOW),
    "a batch in a batch": (b"[[" + GOOD + b"]]", ALL_DENY),
    "a batch with a number": (b"[" + GOOD + b",1]", ALL_DENY),
    "a batch with one nameless call": (b"[" + GOOD + b',{"method":"tools/call"}]', ALL_DENY),
    # no JSON
    "words": (b"hello", ALL_DENY),
    "white space only": (b" \n", ALL_DENY),
    "a string": (b'"tools/call"', ALL_DENY),
    "null": (b"null", ALL_DENY),
    "cut short": (GOOD[:-1], ALL_DENY),
    "something after the end": (GOOD + b"x", ALL_DENY),
    "two documents": (GOOD + CALL, ALL_DENY),
    "two lines of JSON": (GOOD + b"\n" + CALL, ALL_DENY),
    "NUL after the end": (GOOD + b"\0", ALL_DENY),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, ALL_DENY),
    "UTF-16": (GOOD.decode().encode("utf-16"), ALL_DENY),
    "a comment": (GOOD.replace(b"{", b"{/**/", 1), ALL_DENY),
    "single quotes": (GOOD.replace(b'"', b"'"), ALL_DENY),
    "a key without quotes": (GOOD.replace(b'"id"', b"id"), ALL_DENY),
    "a comma too many": (GOOD[:-1] + b",}", ALL_DENY),
    "a comma too many in a batch": (b"[" + GOOD + b",]", ALL_DENY),
    "a comma missing": (GOOD.replace(b',"id"', b'"id"'), ALL_DENY),
    "a colon missing": (GOOD.replace(b'"id":', b'"id"'), ALL_DENY),
    "brackets that do not match": (GOOD.replace(b"{}", b"{]"), ALL_DENY),
    "vertical tab as white space": (b"\v" + GOOD, ALL_DENY),
    "no-break space as white space": (b"\xc2\xa0" + GOOD, ALL_DENY),
    "an unknown escape": (call("re\\ad"), ALL_DENY),
    "an escape cut short": (call("rea\\u64"), ALL_DENY),
    "an escape that is no hexadecimal": (call("rea\\u00g4"), ALL_DENY),
    "a line break in a string": (call("read\n"), ALL_DENY),
    "DEL in a string": (call("read\x7f"), OTHER),
    "a body that is compressed, unsaid": (b"\x1f\x8b\x08\x00" + GOOD, ALL_DENY),
    "a form": (b"method=tools/call&name=read", ALL_DENY),
    # numbers
    **{
        f"the number {text[:9]}": (GOOD.replace(b'"id":1', f'"id":{text}'.encode()), READ)
        for text in ("0", "-0", "1.5", "1e5", "1E+05", "0.0e-0", "9" * 5000, "1e99999")
    },
    **{
        f"no number, {text}": (GOOD.replace(b'"id":1', f'"id":{text}'.encode()), ALL_DENY)
        for text in ("01", "-", "+1", ".5", "1.", "1e", "1e+", "0x1", "1_0", "NaN", "Infinity", "-Infinity", "tru", "nulll", "True",
        "\uff11")
    },
    # UTF-8
    **{
        f"no UTF-8, {sequence.hex()}": (call("read").replace(b"{}", b'"' + sequence + b'"'), ALL_DENY)
        for sequence in (
            b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xc3", b"\xc3\x28", b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xed\xa0\x80",
            b"\xed\xbf\xbf", b"\xe2\x82", b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80",
            b"\xf0\x9f\x98", b"\xff", b"\xfe",
        )
    },
    **{
        f"UTF-8, {sequence.hex()}": (call("read").replace(b"{}", b'"' + sequence + b'"'), READ)
        for sequence in (
            b"\xc2\x80", b"\xdf\xbf", b"\xe0\xa0\x80", b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbf", b"\xf0\x90\x80\x80",
            b"\xf4\x8f\xbf\xbf",
        )
    },
    # limits
    "as deep as allowed": (GOOD.replace(b"{}", b"[" * OPEN + b"]" * OPEN), READ),
    "too deep": (GOOD.replace(b"{}", b"[" * (OPEN + 1) + b"]" * (OPEN + 1)), ALL_DENY),
    "too deep with objects": (GOOD.replace(b"{}", b'{"a":' * (OPEN + 1) + b"1" + b"}" * (OPEN + 1)), ALL_DENY),
    "too deep in a batch": (b"[" + GOOD.replace(b"{}", b"[" * OPEN + b"]" * OPEN) + b"]", ALL_DENY),
    "very deep and not closed": (b"[" * 100_000, ALL_DENY),
    "brackets in a string": (GOOD.replace(b"{}", b'"' + b'[\\"{' * 100 + b'"'), READ),
    "as long as allowed": (long_call(MAX_BODY), READ),
    "one byte too long": (long_call(MAX_BODY + 1), ALL_DENY),
}  # fmt: skip

HEADERS: dict[str, tuple[Headers, bytes, str]] = {
    **{
        f"version {text}": ((("MCP-Protocol-Version", text),), GOOD, READ)
        for text in ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
    },
    **{
        f"version {text!r}": ((("MCP-Protocol-Version", text),), CALL, "allow deny deny deny")
        for text in ("", "2025-06-19", "2026-01-01", "2025-06-18, 2025-06-18", "DRAFT-2025", "2025-06-18;")
    },
    "no version": ((), CALL, "allow deny deny deny"),
    "the version twice": (VERSION * 2, CALL, "allow deny deny deny"),
    "no version, another method": ((), b'{"method":"initialize"}', ALL_ALLOW),
    "no version, no JSON": ((), b"x", ALL_DENY),
    "no version, the name twice": ((), CALL.replace(b'"name"', b'"name":"read","name"'), ALL_DENY),
    **{f"encoding {text!r}": ((*VERSION, ("Content-Encoding", text)), GOOD, READ) for text in ("", "identity", "Identity", " identity\t")},
    **{
        f"encoding {text!r}": ((*VERSION, ("Content-Encoding", text)), GOOD, ALL_DENY)
        for text in ("gzip", "br", "identity, gzip", "identity, identity", "x", "identity\xa0", "\x85")
    },
    "the encoding twice": ((*VERSION, *(("Content-Encoding", "identity"),) * 2), GOOD, ALL_DENY),
    "compressed, and empty": ((*VERSION, ("Content-Encoding", "gzip")), b"", ALL_ALLOW),
    "another content type": ((*VERSION, ("Content-Type", "text/plain")), CALL, DELETE),
    "another charset": ((*VERSION, ("Content-Type", "application/json; charset=utf-16")), CALL, ALL_DENY),
    **{
        f"type {text!r}": ((*VERSION, ("Content-Type", text)), CALL, DELETE)
        for text in (
            "application/json", "application/json;charset=utf-8", 'Application/JSON; Charset="UTF-8"; q=1', "a ;\tcharset = Utf-8 ;",
            "a; charset=utf-8; charset=utf-8", "a; charset=utf-8, b; charset=utf-8", "", "application/json; char=set",
            "a; charcharset=utf-8;set=utf-7",
        )
    },
    **{
        f"type {text!r}": ((*VERSION, ("Content-Type", text)), GOOD, ALL_DENY)
        for text in (
            "application/json; charset=utf-7", 'application/json; CharSet="UTF-7"', "text/plain;charset=shift_jis", "a;charset\t=\tutf-7",
            "a; charset=utf-8; charset=utf-7", "a; charset=utf-7; charset=utf-8", "a; charset=utf-8, b; charset=utf-7",
            "a; charset*=utf-7''x",
            'a; charset="utf-8', 'a; charset=utf-8"', 'a; charset="utf\\-7"', "a; charset=", "charset", "a; charset=utf-80",
            "a; charset=utf-8 7",
            "a; charset='utf-8'", "a; charset=utf8", 'a; boundary="; charset=utf-7"', "charset=utf-7",
            "a; charset=utf-8\xa0", "a; charset=\xe0utf-7",
        )
    },
    "the type twice": ((*VERSION, ("Content-Type", "application/json"), ("Content-Type", "a; charset=utf-7")), GOOD, ALL_DENY),
    "another charset, and empty": ((*VERSION, ("Content-Type", "a; charset=utf-7")), b"", ALL_ALLOW),
    "an Accept without event streams": ((*VERSION, ("Accept", "text/html")), CALL, DELETE),
    "internal headers of the client": ((*VERSION, ("x-groyne-m", "read"), ("X-Groyne-M0", "allow")), CALL, DELETE),
}  # fmt: skip

CASES: dict[str, tuple[Headers, bytes, str]] = {**{name: (VERSION, body, said) for name, (body, said) in BODIES.items()}, **HEADERS}


@pytest.fixture(scope="module")
def envoy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[McpEnvoy]:
    with mcp_envoy(POLICIES, tmp_path_factory.mktemp("mcp")) as running:
        yield running


def evaluated(body: bytes, headers: Headers) -> str:
    lines: dict[str, str] = {}
    for name, value in headers:
        lines[name.lower()] = ",".join((*([lines[name.lower()]] if name.lower() in lines else []), value.strip(" \t")))
    request = Request(method="POST", scheme="http", host=VERDICTS, port=80, path="/mcp", headers=tuple(lines.items()), body=body)
    return " ".join("deny" if denial(policy, request) else "allow" for policy in POLICIES)


@pytest.mark.parametrize("name", CASES)
def test_the_filter_says_what_is_meant(envoy: McpEnvoy, name: str) -> None:
    """Each nasty body and header gets the verdict that the table says."""
    headers, body, said = CASES[name]
    assert " ".join(verdicts(envoy.post(body, headers, host=VERDICTS))) == said


@pytest.mark.parametrize("name", CASES)
def test_the_evaluator_says_the_same(name: str) -> None:
    """The table is the evaluator's meaning, not the filter's own."""
    headers, body, said = CASES[name]
    assert evaluated(body, headers) == said


KEYS = (
    "method", "params", "name", "Method", "NAME", "n\\u0061me", "param\u017f", "id", "jsonrpc", "", "k\u00e9", "\\u006dethod", "\\ud800",
)  # fmt: skip
TEXTS = (
    "tools/call", "tools\\/call", "tools/list", "read", "r\\u0065ad", "delete_repo", "delete\\u005frepo", "a", "c", "", "\\ud83d",
    "\\ud83d\\ude00", "\u00e8", "\\n", "\\x", "\\u12", "\t", "\x00", "{[", '\\"', "\\\\",
)  # fmt: skip
NAMES = ('"read"', '"delete_repo"', '"d\\u0065lete_repo"', '"c"')
SCALARS = ("0", "-1.5e3", "true", "false", "null", "01", "1e", "tru", "NaN")
SPACE = ("", "", "", "", " ", "\n\t", "\r", "\v", "\u00a0")
INSERTED = (
    b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"\xc3", b"\\u", b"\\", b'"', b",", b"}", b"]", b"\0",
    b"\xf0\x9f\x98\x80",
)  # fmt: skip


class Writer:
    """Writes JSON-RPC as a client might, or somebody who wants to be misread."""

    def __init__(self, random: Random) -> None:
        self.random = random

    def one(self, *choices: str) -> str:
        return self.random.choice(choices)

    def often(self, usual: str, *others: str) -> str:
        return usual if self.random.random() < 0.9 else self.one(*others)

    def text(self) -> str:
        return f'"{self.one(*TEXTS)}"'

    def joined(self, opening: str, items: Iterable[str], closing_: str) -> str:
        spaced = (f"{self.one(*SPACE[:7])}{item}{self.often('', *SPACE)}" for item in items)
        return f"{opening}{','.join(spaced)}{closing_}"

    def members(self, *members: tuple[str, str]) -> str:
        extra = [(self.one(*KEYS), self.value(1)) for _ in range(self.random.choice((0, 0, 0, 0, 0, 0, 1, 2)))]
        listed = [f'"{key}":{value}' for key, value in (*members, *extra)]
        self.random.shuffle(listed)
        return self.joined("{", listed, "}")

    def value(self, depth: int) -> str:
        kind = self.random.random()
        if depth == 0 or kind < 0.6:
            return self.text() if kind < 0.3 else self.often("1", *SCALARS)
        if kind < 0.8:
            return self.members((self.one(*KEYS), self.value(depth - 1)))
        return self.joined("[", (self.value(depth - 1) for _ in range(self.random.randrange(3))), "]")

    def message(self) -> str:
        name = self.often(self.one(*NAMES), self.text(), self.text(), "null", "1.5", "{}", '["read"]', "true")
        params = self.often(self.members((self.often("name", *KEYS), name), ("arguments", self.value(3))), self.value(1))
        method = self.often('"tools/call"', self.text(), "1")
        return self.members((self.often("method", *KEYS), method), (self.often("params", *KEYS), params))

    def body(self) -> bytes:
        if self.random.random() < 0.7:
            written = self.message()
        else:
            written = self.joined("[", (self.message() for _ in range(self.random.randrange(4))), "]")
        return self.damaged(written.encode())

    def damaged(self, body: bytes) -> bytes:
        if self.random.random() < 0.75:
            return body
        at = self.random.randrange(len(body) + 1)
        return body[:at] + self.random.choice((b"", *INSERTED)) + body[at + self.random.randrange(2) :]


def test_generated_bodies_are_judged_as_the_evaluator_judges_them(envoy: McpEnvoy) -> None:
    """Hundreds of well and badly formed bodies over one kept-alive connection: never a difference, never a Lua error."""
    seen: Counter[str] = Counter()
    versions = st.sampled_from((VERSION, VERSION, VERSION, (), (("MCP-Protocol-Version", "1"),)))

    with closing(envoy.connection()) as connection:

        @settings(max_examples=800, deadline=None, suppress_health_check=list(HealthCheck))
        @given(random=st.randoms(use_true_random=False, note_method_calls=False), headers=versions)
        def same(random: Random, headers: Headers) -> None:
            body = Writer(random).body()
            note(body)
            said = " ".join(verdicts(ask(connection, body, headers, host=VERDICTS)))
            assert said == evaluated(body, headers)
            seen[said] += 1

        same()

    print(dict(seen))  # noqa: T201 - the shares are the test's evidence
    assert seen[ALL_DENY] < 0.9 * seen.total()
    assert {ALL_DENY, ALL_ALLOW, READ, DELETE, OTHER} <= set(seen)
    assert [value for name, value in envoy.envoy.counters("http.plain.lua").items() if name.endswith("errors")] == [0]
