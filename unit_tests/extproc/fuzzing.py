"""Streams that no Envoy of ours would send, and what must hold for each: only `Unreadable` is raised, and nothing passes that a rule refuses.

What passes is judged by a reading of the messages of its own: pseudo-headers by their one value, attributes by their exact names,
the body as far as it had come when the answer was given. Where that cannot be read, nothing may pass at all.
"""

import base64
import binascii
from dataclasses import dataclass, field

from envoy.service.ext_proc.v3 import external_processor_pb2 as pb
from google.protobuf.message import DecodeError

from dataplane.external_protocol import PEER_NAME, PEER_NAMESPACE, SANDBOX_LABELS
from extproc.edge.driver import Undecided, drive
from extproc.edge.messages import FILTER, Unreadable
from extproc.identity import Peer
from policy.evaluate import escaped_slash_hosts, evaluate
from policy.headers import HOP_BY_HOP
from policy.normalise import normalise
from policy.program import Identity, Program
from policy.request import Malformed, RawRequest
from policy.verdict import Outcome
from policy.walk import End, walk
from unit_tests.extproc.desks import Desk, Provider, sources
from unit_tests.policy.profiles import block, headers, rule, token

TOOLS = {"defaultAction": "deny", "rules": [{"method": "tools/call", "action": "allow", "toolNames": ["read"]}]}
RULES = (
    rule("closed", ["closed.test", "*.closed.test"], block=block()),
    rule("admin", match=[{"domains": ["*"], "paths": [{"type": "Prefix", "value": "/admin"}]}], block=block(451, "no")),
    rule("marked", match=[{"domains": ["*"], "headers": [{"name": "x-a", "type": "Regex", "value": "bad"}]}], block=block()),
    rule("delete", match=[{"domains": ["*"], "methods": ["DELETE"]}], block=block()),
    rule("written", ["h.test"], headerManipulation=headers("x-gone", x_new="1")),
    rule("vault", ["h.test"], tokenTransformation={
        "type": "ApiKey", "credentialRef": {"credentialProvider": {"name": "vault"}}, "failStrategy": "Allow",
        "apiKey": {"valueTemplate": "{{ .Token }}"},
    }),
    rule("key", ["key.test"], tokenTransformation=token("missing")),
    rule("tools", ["h.test"], mcpToolPolicy=TOOLS),
    rule("query", match=[{"domains": ["*"], "queryParams": [{"name": "q", "type": "Exact", "value": "bad"}]}], block=block()),
)  # fmt: skip
CLOSED = {"matchLabels": {"tier": "closed"}}


def programs() -> Program:
    """For every pod of `default` the rules above; for those with a label, nothing at all."""
    everyone = sources(*RULES, name="everyone").program
    closed = sources(rule("all", block=block()), name="closed", selector=CLOSED, priority=100).program
    return Program(profiles=(*closed.profiles, *everyone.profiles))


PROGRAM = programs()


def desk(**more) -> Desk:
    known = sources(rule("r", block=block()))
    return Desk(type(known)(program=PROGRAM), provider=Provider(vault={"apiKey": "issued"}), **more)


@dataclass(slots=True)
class Seen:
    """What had come when an answer was given."""

    first: pb.ProcessingRequest | None = None
    body: bytes = b""
    ended: bool = False
    answers: list[pb.ProcessingResponse] = field(default_factory=list)


async def run(at, messages):
    """The answers, each judged when it came; None where the stream ended with an error."""
    seen = Seen()

    async def sent():
        for data in messages:
            note(seen, data)
            yield data

    answers = drive(sent(), Peer(), at)
    refused = False
    try:
        async for data in answers:
            answer = pb.ProcessingResponse.FromString(data)
            refused = refused or answer.WhichOneof("response") == "immediate_response"
            if not refused and passes(answer):
                must_pass(seen, answer, allowed=at.allow_unknown)
            seen.answers.append(answer)
    except (Unreadable, Undecided):
        return None
    finally:
        await answers.aclose()
    return seen.answers


def note(seen, data):
    try:
        message = pb.ProcessingRequest.FromString(data)
    except DecodeError:
        return
    kind = message.WhichOneof("request")
    if seen.first is None:
        # Before it there may be an answer that Envoy gave by itself.
        if kind == "request_headers":
            seen.first, seen.ended = message, message.request_headers.end_of_stream
    elif kind == "request_body":
        seen.body += message.request_body.body
        # The machine asks for whole bodies only where they are whole.
        seen.ended = seen.ended or message.request_body.end_of_stream or seen.first.protocol_config.request_body_mode == 2
    elif kind == "request_trailers":
        seen.ended = True


def passes(answer):
    """Where Envoy would let a request go on: told a verdict, or with its headers changed."""
    told = answer.dynamic_metadata.fields
    if "groyne.dev" in told:
        assert told["groyne.dev"].struct_value.fields["verdict"].string_value in {"passthrough", "mutated", "bypassed"}
        return True
    kind = answer.WhichOneof("response")
    part = getattr(answer, kind)
    assert kind == "request_trailers" or not part.response.header_mutation.ByteSize(), "changed, and no verdict was told"
    return False


def must_pass(seen, answer, *, allowed):
    raw = raw_of(seen.first)
    assert raw is not None, "what cannot be read has passed"
    identity = identity_of(seen.first)
    assert identity is not None or allowed, "nobody knows whose request this is, and it has passed"
    selection = PROGRAM.select(identity or Identity(namespace=""))
    verdict = evaluate(selection, raw, credentials={}, issued=lambda rule: {"apiKey": "issued"})
    request = normalise(raw, escaped_slash_hosts(selection))
    assert not isinstance(request, Malformed), raw
    ended = walk(selection.rules, request, body_known=seen.ended or len(seen.body) > 256 * 1024).end
    assert ended is not End.BODY_WANTED, "a rule must read the body, and it has not come"
    whole = RawRequest(**{name: getattr(raw, name) for name in raw.__slots__ if name != "body"}, body=seen.body)
    verdict = evaluate(selection, whole, credentials={}, issued=lambda rule: {"apiKey": "issued"})
    assert verdict.outcome is not Outcome.BLOCKED, (raw, answer)


def raw_of(message):
    """None where a pseudo-header is there twice."""
    lines = [(each.key, (each.raw_value or each.value.encode()).decode("latin-1")) for each in message.request_headers.headers.headers]
    pseudo = dict(reversed(lines))
    names = [name for name, _ in lines if name.startswith(":")]
    if len(set(names)) != len(names):
        return None
    authority = pseudo.get(":authority") or pseudo.get("host", "")
    method = pseudo.get(":method", "")
    kept = [line for line in lines if not line[0].startswith((":", "x-groyne-")) and line[0] not in HOP_BY_HOP | {"host"}]
    return RawRequest(
        method=method, scheme=pseudo.get(":scheme", "http").lower(), authority=authority,
        path=authority if method == "CONNECT" else pseudo.get(":path", ""), headers=tuple(kept), http2=True,
    )  # fmt: skip


def identity_of(message):
    """None where nobody can tell."""
    known = message.attributes[FILTER].fields if FILTER in message.attributes else {}
    namespace, name, labels = (text_of(known[key]) if key in known else "" for key in (PEER_NAMESPACE, PEER_NAME, SANDBOX_LABELS))
    if not namespace or not name:
        return None
    if not labels:
        return Identity(namespace=namespace)
    try:
        pairs = [pair.split("=", 1) for pair in base64.b64decode(labels, validate=True).decode().split(",") if "=" in pair]
    except (binascii.Error, ValueError):
        return None
    found = {key.strip(): value.strip() for key, value in pairs if key.strip()}
    return Identity(namespace=namespace, labels=tuple(sorted(found.items()))) if found else None


def text_of(value):
    if value.WhichOneof("kind") == "struct_value" and "value" in value.struct_value.fields:
        value = value.struct_value.fields["value"]
    return value.string_value if value.WhichOneof("kind") == "string_value" else ""
