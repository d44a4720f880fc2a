"""MCP bodies: calls of tools as JSON-RPC, and the ways to write them that two readers may read in two ways."""

import json
from random import Random
from typing import TYPE_CHECKING, Any

from e2e.differential import vocabulary as words

if TYPE_CHECKING:
    from e2e.differential.requests import Draft


def call(random: Random, draft: "Draft") -> None:
    """Gives the draft a body and the headers of a call."""
    document: Any = message(random)
    if random.random() < 0.15:
        document = [message(random) for _ in range(random.randint(0, 3))]
    draft.body = json.dumps(document, ensure_ascii=random.random() < 0.5).encode()
    draft.headers.append(("content-type", "application/json"))
    if random.random() < 0.9:
        draft.headers.append(("mcp-protocol-version", random.choice(words.VERSIONS[:4] if random.random() < 0.8 else words.VERSIONS)))


def message(random: Random) -> dict[str, Any]:
    method = random.choice(("tools/call", "tools/call", "tools/call", "tools/list", "initialize", "Tools/Call"))
    params: Any = {"name": random.choice((*words.TOOLS, "unknown")), "arguments": {"a": [1, 2.5e3, None, True, "x\n"]}}
    if random.random() < 0.1:
        params = random.choice((None, [], {}, {"name": 1}, {"name": None}, "read_file"))
    return {"jsonrpc": "2.0", "id": random.choice((1, "x", 10**30)), "method": method, "params": params}


def spoil(random: Random, draft: "Draft") -> None:
    if not draft.body.startswith((b"{", b"[")):
        return
    text = draft.body
    choice = random.choice(SPOILED)
    draft.body = choice(text) if callable(choice) else choice
    if random.random() < 0.1:
        draft.headers.append(("content-encoding", random.choice(("gzip", "identity", "Identity", ""))))


def doubled(text: bytes) -> bytes:
    return text.replace(b'"method":', b'"method": "x", "method":', 1)


def escaped(text: bytes) -> bytes:
    return text.replace(b"tools/call", b"tools\\/c\\u0061ll", 1)


def nested(text: bytes) -> bytes:
    return b'{"method": "tools/call", "params": {"name": "read_file", "a": ' + b"[" * 70 + b"]" * 70 + b"}}"


def long(text: bytes) -> bytes:
    return text + b" " * (256 * 1024)


SPOILED = (
    doubled, escaped, nested, long,
    lambda text: text.replace(b'"method"', b'"Method"', 1),
    lambda text: text.replace(b'"name"', b'"NAME"', 1),
    lambda text: text.replace(b'"name"', b'"n\\u0061me"', 1),
    lambda text: text + b" x",
    lambda text: text[:-1],
    lambda text: b"\xef\xbb\xbf" + text,
    lambda text: text.replace(b"_file", b"_\xfffile", 1),
    lambda text: text.replace(b"_file", b"\\u005ffile", 1),
    lambda text: text.replace(b"_file", b"\\ud83d\\ude00", 1),
    lambda text: text.replace(b"_file", b"\\ud83d", 1),
    lambda text: b" \n\t\r" + text,
    lambda text: b"\x0c" + text,
    lambda text: text.replace(b"1", b"01", 1),
    lambda text: text.replace(b"1", b"NaN", 1),
    lambda text: text.replace(b"1", b"-Infinity", 1),
    lambda text: text.replace(b", ", b",, ", 1),
    lambda text: text.replace(b'"x\\n"', b'"x\n"', 1),
    lambda text: text.replace(b'"', b"'"),
    b"null", b"1", b'"tools/call"', b"[[]]", b"[1]", b"{}", b"[]", b"", b" ",
)  # fmt: skip
