"""gRPC's framing over ASGI's events: messages cut anywhere, and whoever leaves at whatever point."""

import asyncio

import pytest

from extproc.edge.asgi import IDENTITY, PATH, TLS_1_3, Application, Gone, TooLong, messages
from extproc.edge.messages import Unreadable
from extproc.edge.protocol import LONGEST
from unit_tests.extproc.desks import POD, Desk, sources
from unit_tests.extproc.envoy import Arriving, Envoy, Filter, pb
from unit_tests.policy.profiles import headers, rule

LINES = ((":method", "GET"), (":authority", "h.test"), (":path", "/never-logged"), (":scheme", "https"))
FIRST = Envoy(Filter(), Arriving(lines=LINES, attributes=POD)).first().SerializeToString()
SECOND = Envoy(Filter(), Arriving(lines=LINES), response=200).responded().SerializeToString()
RULES = (rule("writes", headerManipulation=headers("x-gone")),)
SCOPE = {"type": "http", "path": PATH, "headers": [], "extensions": {}}
LEFT = {"type": "http.disconnect"}


def framed(*parts, flag=0):
    return b"".join(bytes([flag]) + len(each).to_bytes(4, "big") + each for each in parts)


def received(*pieces, end=True):
    """`receive` of a client that sends these pieces, and then ends or leaves."""
    events = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    events.append({"type": "http.request", "body": b"", "more_body": False} if end else LEFT)
    coming = iter(events)

    async def receive():
        return next(coming)

    return receive


def read(*pieces, end=True):
    async def main():
        return [message async for message in messages(received(*pieces, end=end))]

    return asyncio.run(main())


class Sent:
    """What the application sends; from event number `until` on the client is gone."""

    def __init__(self, until=1000):
        self.events, self.until = [], until

    async def __call__(self, event):
        if len(self.events) >= self.until:
            raise ConnectionResetError("never-logged")
        self.events.append(event)

    @property
    def status(self):
        return next((int(dict(event["headers"])[b"grpc-status"]) for event in self.events if event["type"].endswith("trailers")), None)

    @property
    def answers(self):
        bodies = b"".join(event["body"] for event in self.events if event["type"] == "http.response.body")
        found = []
        while bodies:
            length = int.from_bytes(bodies[1:5], "big")
            found.append(pb.ProcessingResponse.FromString(bodies[5 : 5 + length]))
            bodies = bodies[5 + length :]
        return found


def asked(*pieces, end=True, until=1000, scope=SCOPE, desk=None, **how):
    sent = Sent(until)
    asyncio.run(Application(desk or Desk(sources(*RULES)), **how)(scope, received(*pieces, end=end), sent))
    return sent


def test_messages_may_be_cut_anywhere():
    """Into two at every byte, and into single bytes."""
    text = framed(b"first", b"", b"second")
    for cut in range(len(text) + 1):
        assert read(text[:cut], text[cut:]) == [b"first", b"", b"second"]
    assert read(*(text[at : at + 1] for at in range(len(text)))) == [b"first", b"", b"second"]


def test_half_a_message_at_the_end_is_none():
    """It is not taken for a whole one."""
    text = framed(b"first", b"second")
    assert read(text[:-1]) == [b"first"]
    assert read(text[: len(framed(b"first")) + 3]) == [b"first"]


@pytest.mark.parametrize("flag", [1, 2, 255])
def test_compressed_messages_are_refused(flag):
    """Envoy sends none."""
    with pytest.raises(Unreadable):
        read(framed(b"x", flag=flag))
    assert asked(framed(FIRST, flag=flag)).status == 2


def test_a_message_that_is_too_long_is_refused_by_its_length_alone():
    """None of it is waited for."""
    with pytest.raises(TooLong):
        read(b"\0" + (LONGEST + 1).to_bytes(4, "big"))
    assert asked(b"\0" + (2**32 - 1).to_bytes(4, "big")).status == 8


def test_who_leaves_is_gone():
    """Which is another thing than having said all."""
    with pytest.raises(Gone):
        read(framed(b"x"), end=False)


def test_a_stream_is_answered_and_ended():
    """The status comes last, in trailers."""
    sent = asked(framed(FIRST, SECOND))
    assert [answer.WhichOneof("response") for answer in sent.answers] == ["request_headers", "response_headers"]
    assert sent.status == 0
    assert sent.events[-1]["type"] == "http.response.trailers"


@pytest.mark.parametrize("until", range(6))
@pytest.mark.parametrize("end", [True, False])
def test_a_client_may_leave_at_any_point(until, end, caplog):
    """Nothing is raised to the server, which would write the error's words, and nothing is logged."""
    desk = Desk(sources(*RULES))
    with caplog.at_level("DEBUG"):
        asked(framed(FIRST), framed(SECOND), end=end, until=until, desk=desk)
    assert [record for record in caplog.records if record.name != "asyncio"] == []
    assert desk.value("streams") == 0
    assert desk.value("stream_errors_total") == 0


@pytest.mark.parametrize("end", [True, False])
def test_what_ends_undecided_does_not_end_well(end):
    """Half a message, nothing, or nobody there any more: OK would be leave to go on."""
    for pieces in ((), (framed(FIRST)[:-1],)):
        assert asked(*pieces, end=end).status == 1
    assert asked(framed(FIRST), end=end).status == (0 if end else 1)
    assert asked(framed(SECOND)).status == 0


def test_another_path_or_protocol_is_not_served():
    """Nobody is asked who it is."""
    assert asked(framed(FIRST), scope=SCOPE | {"path": "/x"}).status == 12
    assert asked(framed(FIRST), scope={"type": "lifespan"}).events == []


@pytest.mark.parametrize(
    ("tls", "status"),
    [
        ({}, 16),
        ({"tls": {"client_cert_chain": [], "tls_version": TLS_1_3}}, 16),
        ({"tls": {"client_cert_chain": ["good"], "tls_version": TLS_1_3 - 1}}, 16),
        ({"tls": {"client_cert_chain": ["good"], "tls_version": None}}, 16),
        ({"tls": {"client_cert_chain": ["bad"], "tls_version": TLS_1_3}}, 16),
        ({"tls": {"client_cert_chain": ["bad", "good"], "tls_version": TLS_1_3}}, 16),
        ({"tls": {"client_cert_chain": ["good", "bad"], "tls_version": TLS_1_3}}, 0),
    ],
)
def test_who_shows_no_good_certificate_is_not_asked_what_it_wants(tls, status):
    """Its own counts, the first of the chain, and only over TLS 1.3."""
    admit = {"good": "spiffe://d/ns/team/template/coder"}.get
    desk = Desk(sources(*RULES))
    assert asked(framed(FIRST), scope=SCOPE | {"extensions": tls}, admit=admit, desk=desk).status == status
    assert len(desk.outcomes) == (status == 0)


def test_metadata_is_heard_only_where_it_counts():
    """Elsewhere anybody could write it."""
    heard = []

    class Hears(Desk):
        def admit(self, headers, peer):
            heard.append(peer.metadata)
            return super().admit(headers, peer)

    for trusted in (True, False):
        asked(framed(FIRST), scope=SCOPE | {"headers": [(IDENTITY, b"x")]}, metadata=trusted, desk=Hears(sources(*RULES)))
    assert heard == ["x", ""]
