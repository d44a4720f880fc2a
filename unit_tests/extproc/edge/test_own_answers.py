"""Answers that Envoy gives before its filter is asked: the filter still shows them, as a stream without a request."""

import asyncio

import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb

from extproc.edge.driver import drive
from extproc.edge.messages import Unreadable
from extproc.identity import Peer
from unit_tests.extproc.desks import Desk, sources


def said(*kinds):
    """What is answered to messages of these kinds."""

    async def messages():
        for kind in kinds:
            message = pb.ProcessingRequest()
            getattr(message, kind).SetInParent()
            yield message.SerializeToString()

    async def all_of():
        return [pb.ProcessingResponse.FromString(data) async for data in drive(messages(), Peer(), Desk(sources(), allow_unknown=True))]

    return [answer.WhichOneof("response") for answer in asyncio.run(all_of())]


def test_envoys_own_answer_goes_on_as_it_is():
    """A request that another filter refused would otherwise be answered with 503."""
    assert said("response_headers") == ["response_headers"]
    assert said("response_headers", "response_body", "response_trailers") == ["response_headers", "response_body", "response_trailers"]


@pytest.mark.parametrize("kind", ["request_body", "request_trailers"])
def test_no_part_of_a_request_goes_on_without_its_headers(kind):
    """Nor after an answer was shown."""
    with pytest.raises(Unreadable):
        said(kind)
    with pytest.raises(Unreadable):
        said("response_headers", kind)
