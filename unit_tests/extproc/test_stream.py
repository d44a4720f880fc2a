"""One request as a dialogue: what arrives, what is answered, and what is told of it in the end. The law is in `test_law`."""

import asyncio

import pytest

from extproc.edge.driver import Undecided, drive
from extproc.edge.messages import Unreadable
from extproc.events import Body, BodyMode, Continue, Headers, Late, Mutate, Phase, Refuse, Response, Stream, Trailers
from extproc.identity import Peer
from extproc.snapshot import Snapshot
from extproc.stream import Wanting
from policy.mcp import MAX_BODY
from policy.verdict import Outcome
from unit_tests.extproc.desks import POD, TOKEN, Desk, Provider, sources
from unit_tests.extproc.envoy import MODE, Arriving, Envoy, Filter, Forwarded, part
from unit_tests.policy.profiles import block, headers, rule, token

LINES = ((":method", "POST"), (":authority", "h.test"), (":path", "/"), (":scheme", "https"))
TOOLS = rule("tools", mcpToolPolicy={"rules": [{"method": "tools/call", "action": "allow", "toolNames": ["read"]}]})
WRITES = rule("writes", headerManipulation=headers("x-gone", x_new="1"))
ISSUED = rule(
    "vault",
    tokenTransformation={
        "type": "ApiKey",
        "credentialRef": {"credentialProvider": {"name": "vault"}},
        "apiKey": {"valueTemplate": "Bearer {{ .Token }}"},
    },
)
READ = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read"}}'
WRITE = READ.replace(b"read", b"write")
VERSION = (("content-type", "application/json"), ("mcp-protocol-version", "2025-06-18"))
ON = Phase.REQUEST_HEADERS


def machine(*rules, overrides=False, **more):
    return Desk(sources(*rules, **more), overrides=overrides).admit(Headers(lines=LINES, attributes=POD), Peer())


def begun(*rules, end=False, mode=BodyMode.BUFFERED, lines=(), ahead=False, **more):
    made = machine(*rules, **more)
    return made, made.on(Headers(lines=(*LINES, *VERSION, *lines), end=end, attributes=POD, body_mode=mode, sends_ahead=ahead))


def test_headers_are_decided_on_headers():
    """Where no rule must read the body, in whatever way it comes."""
    for mode in BodyMode:
        made, answers = begun(WRITES, mode=mode)
        assert answers == [
            Mutate(phase=ON, set=(("x-new", "1"),), remove=("x-gone",), verdict="mutated", acted="headers:default/p/writes")
        ], mode
        assert made.resolved().verdict.outcome is Outcome.MUTATED


def test_a_refusal_that_needs_no_body_waits_for_none():
    """A rule before the one that would read it refuses."""
    _, (answer,) = begun(rule("closed", block=block()), TOOLS, mode=BodyMode.STREAMED)
    assert isinstance(answer, Refuse)
    assert (answer.status, answer.rule) == (403, "default/p/closed")


def test_a_body_is_asked_for_where_a_rule_must_read_it():
    """Then it is judged, and what changes is said with it."""
    made, answers = begun(WRITES, TOOLS)
    assert answers == [Continue(phase=ON)]
    (answer,) = made.on(Body(data=READ, end=True))
    assert isinstance(answer, Mutate)
    assert (answer.phase, answer.set) == (Phase.REQUEST_BODY, (("x-new", "1"),))
    made, _ = begun(WRITES, TOOLS)
    (answer,) = made.on(Body(data=WRITE, end=True))
    assert (answer.status, answer.reason) == (403, "ToolDenied")


def test_a_request_without_a_body_is_judged_at_once():
    """It calls nothing."""
    _, (answer,) = begun(TOOLS, end=True)
    assert isinstance(answer, Mutate)
    assert answer.verdict == "passthrough"


@pytest.mark.parametrize("mode", [BodyMode.NONE, BodyMode.STREAMED, BodyMode.BUFFERED_PARTIAL, BodyMode.UNKNOWN])
def test_a_body_that_cannot_be_had_is_not_passed_unread(mode):
    """Unless the filter lets us ask for it."""
    made, (answer,) = begun(TOOLS, mode=mode)
    assert (answer.status, answer.reason) == (503, "BodyNotRead")
    assert made.resolved().verdict.reason == "BodyNotRead"
    made, answers = begun(TOOLS, mode=mode, overrides=True)
    assert answers == [Continue(phase=ON, buffer=True)]
    assert made.on(Body(data=READ, end=True))[0].verdict == "passthrough"


def test_a_body_that_was_asked_for_and_comes_in_parts_is_not_passed():
    """The filter did not do as asked."""
    made, _ = begun(TOOLS, mode=BodyMode.STREAMED, overrides=True)
    (answer,) = made.on(Body(data=READ, end=False))
    assert answer.reason == "BodyNotRead"


@pytest.mark.parametrize(("mode", "ahead"), [(BodyMode.STREAMED, True), (BodyMode.FULL_DUPLEX, False)])
def test_the_headers_wait_where_the_body_comes_without_being_asked_for(mode, ahead):
    """And then each of its parts is answered, in full duplex by sending it on."""
    made, answers = begun(TOOLS, mode=mode, ahead=ahead)
    assert answers == []
    assert made.on(Body(data=READ[:9], end=False)) == []
    first, *rest = made.on(Body(data=READ[9:], end=True))
    assert first.phase is ON
    if mode is BodyMode.STREAMED:
        assert rest == [Continue(phase=Phase.REQUEST_BODY)] * 2
    else:
        assert rest == [
            Stream(phase=Phase.REQUEST_BODY, data=READ[:9], end=False),
            Stream(phase=Phase.REQUEST_BODY, data=READ[9:], end=True),
        ]


def test_only_streams_send_ahead():
    """Where the body is buffered Envoy waits for the answer to the headers, whatever it says."""
    _, answers = begun(TOOLS, mode=BodyMode.BUFFERED, ahead=True)
    assert answers == [Continue(phase=ON)]


def test_a_body_without_end_is_given_up_at_the_bound():
    """It is held no longer than it could be judged, and refused."""
    made, _ = begun(TOOLS, mode=BodyMode.FULL_DUPLEX)
    piece = b" " * (MAX_BODY // 4)
    for _ in range(4):
        assert made.on(Body(data=piece, end=False)) == []
    (answer,) = made.on(Body(data=b" ", end=False))
    assert (answer.status, answer.reason) == (403, "ToolDenied")
    assert len(made.body) == 0


def test_trailers_end_a_body_in_full_duplex():
    """Then the parts go on, and the trailers after them."""
    made, _ = begun(TOOLS, mode=BodyMode.FULL_DUPLEX)
    made.on(Body(data=READ, end=False))
    headers_answer, body, trailers = made.on(Trailers())
    assert headers_answer.phase is ON
    assert body == Stream(phase=Phase.REQUEST_BODY, data=READ, end=False)
    assert trailers == Continue(phase=Phase.REQUEST_TRAILERS)


def test_trailers_follow_a_buffered_body():
    """Which is whole, though it has no end."""
    made, _ = begun(TOOLS)
    (answer,) = made.on(Body(data=READ, end=False))
    assert answer.verdict == "passthrough"
    assert made.on(Trailers()) == [Continue(phase=Phase.REQUEST_TRAILERS)]


def test_trailers_in_place_of_a_body_that_was_waited_for_are_refused():
    """Nothing can be changed any more, and rules after the one that reads bodies have not been asked."""
    made, _ = begun(TOOLS, rule("closed", block=block()))
    (answer,) = made.on(Trailers())
    assert answer.reason == "BodyNotRead"


def test_what_comes_after_the_decision_goes_on_as_it_came():
    """Bodies, trailers, and every part of the response."""
    made, _ = begun(mode=BodyMode.STREAMED)
    assert made.on(Body(data=b"x", end=False)) == [Continue(phase=Phase.REQUEST_BODY)]
    assert made.on(Trailers()) == [Continue(phase=Phase.REQUEST_TRAILERS)]
    for phase in (Phase.RESPONSE_HEADERS, Phase.RESPONSE_BODY, Phase.RESPONSE_TRAILERS):
        assert made.on(Response(phase=phase)) == [Continue(phase=phase)]
    body = Response(phase=Phase.RESPONSE_BODY, data=b"x", end=False, duplex=True)
    assert made.on(body) == [Stream(phase=Phase.RESPONSE_BODY, data=b"x", end=False)]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (((":path", "/b"),), "MalformedHeader"),
        ((("x a", "1"),), "MalformedHeader"),
        ((("x-a", "1\n2"),), "MalformedHeader"),
    ],
)
def test_what_cannot_be_read_with_certainty_is_refused(lines, reason):
    """Before any rule, as the policy does it."""
    made, (answer,) = begun(lines=lines, end=True)
    assert (answer.status, answer.reason) == (400, reason)
    assert made.resolved().request is None


def test_headers_come_once():
    """A second time they are refused."""
    made, _ = begun(end=True)
    assert made.on(Headers(lines=LINES))[0].reason == "RepeatedHeaders"


def test_only_credentials_of_providers_are_waited_for():
    """Those of Secrets are at hand; for a request that ends refused nobody is asked."""
    _, answers = begun(rule("key", tokenTransformation=token()), end=True, secrets={"openai": b"v"})
    assert answers[0].set == (("authorization", "Bearer v"),)
    _, answers = begun(ISSUED, end=True)
    assert isinstance(answers, Wanting)
    assert [each.name for each in answers.rules] == ["vault"]
    _, answers = begun(ISSUED, rule("closed", block=block()), end=True)
    assert isinstance(answers[0], Refuse)


def asked(desk, *, response=None, lines=(), chunks=(), configured=None):
    attributes = {**POD, "filter_state['sandbox.token']": TOKEN}
    come = Arriving(lines=(*LINES, *VERSION, *lines), chunks=chunks, attributes=attributes)
    return asyncio.run(Envoy(configured or Filter(), come, response=response).ask(desk))


@pytest.mark.parametrize(
    ("rules", "response", "status", "outcome"),
    [
        ((WRITES,), 204, 204, Outcome.MUTATED),
        ((WRITES,), None, None, Outcome.MUTATED),
        ((rule("closed", block=block(451)),), None, 451, Outcome.BLOCKED),
        ((rule("open", bypass=True),), 500, 500, Outcome.BYPASSED),
    ],
)
def test_what_became_of_a_request_is_told_once(rules, response, status, outcome):
    """With what the host answered, if that was seen."""
    desk = Desk(sources(*rules))
    asked(desk, response=response)
    (told,) = desk.outcomes
    assert (told.verdict.outcome, told.status, told.caller.pod, told.request.host) == (outcome, status, "pod-0", "h.test")
    assert desk.value("requests_total", outcome=outcome.value) == 1


def test_who_fails_to_hear_what_became_of_a_request_keeps_nobody_else_from_it(caplog):
    """Nor is what was asked in the log."""

    def deaf(outcome):
        raise ValueError(outcome.request.host)

    heard = []
    desk = Desk(sources(WRITES), told=(deaf, heard.append))
    assert isinstance(asked(desk), Forwarded)
    assert len(heard) == 1
    assert "h.test" not in caplog.text


def test_a_request_ends_by_the_snapshot_that_it_began_with():
    """However often it is exchanged meanwhile."""
    desk = Desk(sources(WRITES, TOOLS))
    envoy = Envoy(Filter(body=MODE.BUFFERED), Arriving(lines=(*LINES, *VERSION), chunks=(READ,), attributes=POD))

    async def messages():
        yield envoy.first().SerializeToString()
        desk.swap(Snapshot(sources(rule("closed", block=block()))))
        yield part(READ, end=True).SerializeToString()

    async def main():
        return [data async for data in drive(messages(), Peer(), desk)]

    answers = asyncio.run(main())
    assert desk.outcomes[0].verdict.outcome is Outcome.MUTATED
    assert len(answers) == 2


def test_a_client_that_leaves_before_the_decision_leaves_nothing():
    """After it, what was decided is told."""

    async def leave(desk, first):
        async def messages():
            yield first
            await asyncio.sleep(60)

        answers = drive(messages(), Peer(), desk)
        reading = asyncio.ensure_future(answers.__anext__())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await answers.aclose()

    arriving = Arriving(lines=(*LINES, *VERSION), chunks=(READ,), attributes=POD)
    waiting, decided = Desk(sources(TOOLS)), Desk(sources(WRITES))
    asyncio.run(leave(waiting, Envoy(Filter(body=MODE.FULL_DUPLEX_STREAMED), arriving).first().SerializeToString()))
    asyncio.run(leave(decided, Envoy(Filter(), arriving).first().SerializeToString()))
    assert waiting.outcomes == []
    assert len(decided.outcomes) == 1


def test_a_stream_that_breaks_off_with_nonsense_ends_with_an_error():
    """What was decided until then is told all the same."""
    desk = Desk(sources(WRITES))

    async def messages():
        yield Envoy(Filter(), Arriving(lines=LINES, attributes=POD)).first().SerializeToString()
        yield b"\xff"

    async def main():
        async for _ in drive(messages(), Peer(), desk):
            pass

    with pytest.raises(Unreadable):
        asyncio.run(main())
    assert len(desk.outcomes) == 1


def test_providers_are_asked_for_what_goes_on():
    """Once, with the sandbox's token."""
    provider = Provider(vault={"apiKey": "issued"})
    found = asked(Desk(sources(ISSUED), provider=provider))
    assert found.headers["authorization"] == "Bearer issued"
    (ask,) = provider.asked
    assert (ask.provider, ask.resource_id, ask.access_token, ask.caller) == ("vault", "client-1", "sandbox-proof", "pod default/pod-0")


@pytest.mark.parametrize(("rules", "sent"), [((TOOLS,), 1), ((WRITES,), 0)])
def test_a_stream_that_ends_before_the_decision_ends_with_an_error(rules, sent):
    """Envoy takes an end without one for leave to go on. A client may leave, though: nothing of ours has failed."""
    desk = Desk(sources(*rules))
    arriving = Arriving(lines=(*LINES, *VERSION), chunks=(READ,), attributes=POD)
    first = Envoy(Filter(body=MODE.FULL_DUPLEX_STREAMED), arriving).first().SerializeToString()

    async def messages():
        for _ in range(sent):
            yield first

    async def main():
        return [data async for data in drive(messages(), Peer(), desk)]

    with pytest.raises(Undecided):
        asyncio.run(main())
    assert desk.outcomes == []
    assert (desk.value("streams"), desk.value("stream_errors_total")) == (0, 0)


def test_a_body_is_not_kept_longer_than_it_is_read():
    """A stream may live for hours after it was decided, or refused."""
    passed, _ = begun(TOOLS, mode=BodyMode.FULL_DUPLEX)
    assert [type(answer) for answer in passed.on(Body(data=READ, end=True))] == [Mutate, Stream]
    refused, _ = begun(TOOLS, mode=BodyMode.FULL_DUPLEX)
    assert isinstance(refused.on(Body(data=WRITE, end=True))[0], Refuse)
    late, _ = begun(TOOLS, mode=BodyMode.FULL_DUPLEX)
    late.on(Body(data=READ, end=False))
    assert isinstance(late.on(Late())[0], Refuse)
    for made in (passed, refused, late):
        assert (made.request.body, bytes(made.body), made.chunks, made.owed) == (b"", b"", [], [])
