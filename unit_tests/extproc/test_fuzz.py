"""ext-proc against streams of every kind: drawn by hypothesis, and real Envoys' streams with bytes and messages changed.

`GROYNE_EXTPROC_FUZZ` multiplies how many are tried.
"""

import asyncio
import base64
import json
import os
from pathlib import Path
from random import Random

import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb
from google.protobuf import struct_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataplane.external_protocol import PEER_NAME, PEER_NAMESPACE, SANDBOX_LABELS, SANDBOX_TOKEN, SOURCE_ADDRESS
from extproc.edge.messages import FILTER
from unit_tests.extproc.fuzzing import desk, run

TIMES = int(os.environ.get("GROYNE_EXTPROC_FUZZ", "1"))
MUTATIONS = 4000 * TIMES
CAPTURES = Path(__file__).with_name("captures.json")
HUGE = "a" * 70_000

names = st.sampled_from(
    (":method", ":path", ":authority", ":scheme", ":protocol", ":status", ":", "host", "x-a", "X-A", "x-gone", "cookie", "content-type",
     "mcp-protocol-version", "content-encoding", "connection", "te", "", "é", "x b", "x-groyne-id", "content-length")
)  # fmt: skip
values = st.sampled_from(
    ("", "h.test", "closed.test", "key.test", "H.TEST:443", "h.test.", "/", "/admin", "/%61dmin", "/x/../admin", "/?q=bad", "/x%2fy", "*",
     "GET", "POST", "DELETE", "CONNECT", "http", "https", "gopher", "bad", "ok", "no bad", "application/json", "2025-06-18", "gzip", "é",
     "a\nb", "\0", HUGE)
) | st.text(max_size=12)  # fmt: skip
raw_values = values.map(str.encode) | st.binary(max_size=12)
BASE = ((":method", b"POST"), (":path", b"/"), (":authority", b"h.test"), (":scheme", b"https"))

struct_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=8) | st.sampled_from(("default", "pod-0", "-", "other")),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(("value", "x")), inner, max_size=2),
    max_leaves=4,
)
labels = st.sampled_from(("tier=closed", "tier = closed", "app=a,tier=closed", "tier=open", "tier", "", "=", ",,", "tier=closed=x", "é"))
encoded = labels.map(lambda text: base64.b64encode(text.encode()).decode()) | st.text(max_size=6)
attribute_names = st.sampled_from(
    (
        PEER_NAMESPACE,
        PEER_NAME,
        SANDBOX_LABELS,
        SANDBOX_TOKEN,
        SOURCE_ADDRESS,
        "namespace",
        "x" + PEER_NAMESPACE,
        PEER_NAMESPACE + "x",
        "request.protocol",
    )
)


@st.composite
def header_lists(draw):
    lines = [(name, value, "") for name, value in BASE]
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(lines)))
        what = draw(st.sampled_from(("insert", "insert", "replace", "drop", "twice", "value")))
        if what == "insert" or at == len(lines):
            lines.insert(at, (draw(names), draw(raw_values), ""))
        elif what == "replace":
            lines[at] = (lines[at][0], draw(raw_values), "")
        elif what == "drop":
            del lines[at]
        elif what == "twice":
            lines.append((lines[at][0], draw(raw_values), ""))
        else:
            lines[at] = (lines[at][0], b"", draw(values))
    return lines


@st.composite
def attributes(draw):
    found = {PEER_NAMESPACE: "default", PEER_NAME: "pod-0", SANDBOX_LABELS: draw(st.just("") | encoded)}
    for name in draw(st.lists(attribute_names, max_size=2)):
        found[name] = draw(struct_values)
    for name in draw(st.lists(attribute_names, max_size=1)):
        found.pop(name, None)
    return found


@st.composite
def first_messages(draw):
    message = pb.ProcessingRequest()
    for name, raw, value in draw(header_lists()):
        message.request_headers.headers.headers.add(key=name, raw_value=raw, value=value)
    message.request_headers.end_of_stream = draw(st.booleans())
    place = draw(st.sampled_from((FILTER, FILTER, FILTER, FILTER, "envoy.filters.http.ext_proc.2", "")))
    message.attributes[place].CopyFrom(struct_of(draw(attributes())))
    if draw(st.booleans()):
        message.protocol_config.request_body_mode = draw(st.sampled_from((0, 1, 2, 3, 4, 99, -1)))
        message.protocol_config.send_body_without_waiting_for_header_response = draw(st.booleans())
    return message


def struct_of(values):
    found = struct_pb2.Struct()
    found.update(values)
    return found


BODIES = (
    b"", b"{", b'{"jsonrpc":"2.0","id":1,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read"}}',
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"write"}}', b'[{"method":"tools/call"}]', b"\xff", b" " * 300_000,
)  # fmt: skip


@st.composite
def later_messages(draw):
    message = pb.ProcessingRequest()
    kind = draw(st.sampled_from(("body", "body", "body", "trailers", "headers", "response", "nothing", "config")))
    if kind == "body":
        message.request_body.body = draw(st.sampled_from(BODIES) | st.binary(max_size=6))
        message.request_body.end_of_stream = draw(st.booleans())
    elif kind == "trailers":
        message.request_trailers.SetInParent()
    elif kind == "headers":
        return draw(first_messages())
    elif kind == "response":
        message.response_headers.headers.headers.add(key=":status", raw_value=draw(st.sampled_from((b"200", b"401", b"x", b"", b"\xb2"))))
    elif kind == "config":
        message.protocol_config.request_body_mode = draw(st.integers(-1, 6))
        message.request_body.SetInParent()
    return message


streams = st.tuples(first_messages(), st.lists(later_messages(), max_size=4)).map(lambda found: [found[0], *found[1]])


@pytest.fixture(scope="module")
def loop():
    made = asyncio.new_event_loop()
    yield made
    made.close()


@settings(max_examples=1200 * TIMES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=TIMES == 1)
@given(messages=streams, overrides=st.booleans(), allow=st.booleans())
def test_no_stream_of_messages_raises_or_passes_what_is_refused(loop, messages, overrides, allow):
    """In any order, with any headers and attributes."""
    loop.run_until_complete(run(desk(overrides=overrides, allow_unknown=allow), [message.SerializeToString() for message in messages]))


def test_streams_that_begin_otherwise_are_none_of_envoys(loop):
    """Nothing is answered to them."""
    for kind in ("request_body", "request_trailers"):
        message = pb.ProcessingRequest()
        getattr(message, kind).SetInParent()
        assert loop.run_until_complete(run(desk(), [message.SerializeToString()])) is None
    assert loop.run_until_complete(run(desk(), [b""])) is None
    assert loop.run_until_complete(run(desk(), [b"\xff\xff"])) is None


def captured():
    return [[base64.b64decode(message) for message in stream] for stream in json.loads(CAPTURES.read_text())]


def test_real_streams_are_understood(loop):
    """As an Envoy of our own configuration sends them."""
    for stream in captured():
        assert loop.run_until_complete(run(desk(allow_unknown=True), stream))


def test_real_streams_with_anything_changed_raise_nothing_and_pass_nothing_that_is_refused(loop):
    """Bytes changed, left out, doubled; messages left out, doubled, exchanged, of other streams."""
    random, streams = Random(1), captured()
    at = desk(allow_unknown=True)
    for _ in range(MUTATIONS):
        loop.run_until_complete(run(at, mutated(random, streams)))


def mutated(random, streams):
    stream = list(random.choice(streams))
    for _ in range(random.choice((1, 1, 2, 4))):
        where = random.randrange(len(stream)) if stream else 0
        what = random.random()
        if what < 0.65 and stream:
            stream[where] = changed(random, stream[where])
        elif what < 0.75:
            stream.insert(where, random.choice(random.choice(streams)))
        elif what < 0.85 and stream:
            stream.insert(where, stream[random.randrange(len(stream))])
        elif what < 0.95 and stream:
            del stream[where]
        else:
            random.shuffle(stream)
    return stream


def changed(random, message):
    if not message:
        return random.randbytes(3)
    at = random.randrange(len(message))
    cut = random.choice((0, 1, 1, 2, 8))
    put = random.choice((b"", random.randbytes(1), random.randbytes(4), message[at : at + 8], b"/admin", b"\x0a\x80\x80"))
    return message[:at] + put + message[at + cut :]
