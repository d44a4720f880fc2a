"""A body that is kept until it is whole has a time to come in; whoever sends it drop by drop is refused."""

import asyncio

import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb

from extproc.edge import driver
from extproc.edge.driver import PATIENCE, drive
from extproc.edge.listening import TRANSPORTS
from extproc.identity import Peer
from policy.verdict import Outcome
from unit_tests.extproc.desks import POD, Desk, sources
from unit_tests.extproc.edge.streams import calling, serving
from unit_tests.extproc.envoy import MODE, Arriving, Envoy, Filter, part
from unit_tests.kube.virtual import run
from unit_tests.policy.profiles import rule

LINES = ((":method", "POST"), (":authority", "h.test"), (":path", "/"), (":scheme", "https"), ("content-type", "application/json"))
TOOLS = rule("tools", mcpToolPolicy={"rules": [{"method": "tools/call", "action": "allow"}]})


def first(mode=MODE.FULL_DUPLEX_STREAMED):
    return Envoy(Filter(body=mode), Arriving(lines=LINES, chunks=(b"x",), attributes=POD)).first().SerializeToString()


async def told(desk, mode, *pauses):
    """When each answer came, to a body whose parts come after these pauses."""

    async def messages():
        yield first(mode)
        for number, pause in enumerate(pauses, 1):
            await asyncio.sleep(pause)
            yield part(b" ", end=number == len(pauses)).SerializeToString()

    now = asyncio.get_running_loop().time
    return [(now(), pb.ProcessingResponse.FromString(data).WhichOneof("response")) async for data in drive(messages(), Peer(), desk)]


def test_a_body_that_is_withheld_is_refused_when_its_time_is_over():
    """All of it counts, not the last part: drops do not help."""
    desk = Desk(sources(TOOLS))
    assert run(told(desk, MODE.FULL_DUPLEX_STREAMED, *(PATIENCE / 3,) * 6)) == [(PATIENCE, "immediate_response")]
    (outcome,) = desk.outcomes
    assert (outcome.verdict.outcome, outcome.status, outcome.verdict.reason) == (Outcome.BLOCKED, 503, "BodyNotRead")
    assert desk.value("stream_errors_total") == 0


def test_what_is_decided_and_what_envoy_keeps_may_take_its_time():
    """There is nothing of it here."""
    for rules, mode in (((), MODE.FULL_DUPLEX_STREAMED), ((TOOLS,), MODE.BUFFERED)):
        desk = Desk(sources(*rules), allow_unknown=True)
        answers = run(told(desk, mode, 10 * PATIENCE))
        assert answers[-1][0] == 10 * PATIENCE
        assert desk.outcomes[0].verdict.reason != "BodyNotRead"


@pytest.mark.parametrize("transport", sorted(TRANSPORTS))
def test_who_is_late_is_told_so_over_either_transport(transport, tmp_path, monkeypatch):
    """The refusal arrives, and the stream ends well."""
    monkeypatch.setattr(driver, "PATIENCE", 0.1)

    async def story():
        async with serving(Desk(sources(TOOLS)), transport, tmp_path) as address, calling(address) as process, asyncio.timeout(20):
            call = process()
            await call.write(first())
            answer = pb.ProcessingResponse.FromString(await call.read())
            assert answer.immediate_response.status.code == 503
            assert (await call.code()).value[0] == 0

    asyncio.run(story())
