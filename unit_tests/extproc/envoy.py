"""Envoy's half of a stream, as its ext_proc filter has it: messages out in its order, answers in, and what becomes of the request.

It is as strict as the filter is: an answer that is not due, or one that does not come where nothing more would be sent, fails
the test. Bytes go through protobuf both ways and through `edge.driver.drive`, so that what is tested is what runs.
"""

from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field

from envoy.extensions.filters.http.ext_proc.v3 import processing_mode_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb

from extproc.edge import driver
from extproc.edge.driver import Desk, drive
from extproc.edge.messages import FILTER
from extproc.identity import Peer
from policy.headers import HOP_BY_HOP
from policy.request import Request

MODE = processing_mode_pb2.ProcessingMode
Lines = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """How the filter is configured. `trailers`: they are sent too. `says`: it tells its modes, which older ones do not."""

    body: int = MODE.NONE
    sends_ahead: bool = False
    trailers: bool = False
    override: bool = False
    says: bool = True
    limit: int = 1 << 20
    """Bytes of a body that it holds."""

    @property
    def duplex(self) -> bool:
        return self.body == MODE.FULL_DUPLEX_STREAMED


@dataclass(frozen=True, slots=True, kw_only=True)
class Arriving:
    """A request as Envoy's filter sees it: pseudo-headers too, the body as it comes in, trailers if there are any."""

    lines: Lines
    chunks: tuple[bytes, ...] = ()
    trailers: Lines = ()
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def bare(self) -> bool:
        """Ends with its headers."""
        return not self.chunks and not self.trailers


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """Refused at once."""

    status: int
    body: bytes
    content_type: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarded:
    headers: dict[str, str]
    body: bytes
    verdict: str

    @property
    def target(self) -> str:
        return self.headers[":path"]


class Undecided(Exception):  # noqa: N818 - what the request is
    """The stream ended before all was answered: with `failure_mode_allow` off, and the filter that looks for a verdict, refused."""


def arriving(
    request: Request,
    *,
    chunks: tuple[bytes, ...] | None = None,
    trailers: Lines = (),
    more: Lines = (),
    attributes: Mapping[str, str] | None = None,
) -> Arriving:
    """As Envoy's own normalisation leaves it."""
    pseudo = ((":method", request.method), (":scheme", request.scheme), (":authority", request.authority))
    path = () if request.method == "CONNECT" else ((":path", request.target),)
    body = chunks if chunks is not None else ((request.body,) if request.body else ())
    return Arriving(lines=(*pseudo, *path, *request.headers, *more), chunks=body, trailers=trailers, attributes=attributes or {})


class Envoy:
    """One request through one stream."""

    def __init__(self, configured: Filter, arriving: Arriving, *, response: int | None = None) -> None:
        self.configured, self.arriving, self.response = configured, arriving, response
        self.body_mode = configured.body
        self.trailers = configured.trailers or configured.duplex
        self.headers = dict(arriving.lines)
        self.body = bytearray()
        self.due: deque[str] = deque()
        self.refused: Answered | None = None
        self.verdict = ""
        self.headers_gone = False

    async def ask(self, desk: Desk, peer: Peer | None = None) -> Answered | Forwarded:
        """Raises Undecided, and whatever the driver raises."""
        answers = drive(self.messages(), peer or Peer(), desk)
        try:
            async for data in answers:
                self.take(pb.ProcessingResponse.FromString(data))
                if self.refused:
                    return self.refused
        except driver.Undecided:
            raise Undecided from None
        finally:
            await answers.aclose()
        if self.due or not self.verdict:
            raise Undecided
        kept = {name: value for name, value in self.headers.items() if name not in HOP_BY_HOP}
        return Forwarded(headers=kept, body=bytes(self.body), verdict=self.verdict)

    async def messages(self) -> AsyncIterator[bytes]:
        for message, waits in self.sent():
            if waits:
                assert not self.due, f"Envoy waits for the answer to {self.due[0]}, and nobody answers"
            kind = message.WhichOneof("request")
            if not (self.configured.duplex and kind == "request_body"):
                self.due.append(kind)
            yield message.SerializeToString()

    def sent(self) -> Iterator[tuple[pb.ProcessingRequest, bool]]:
        """Each message, and whether all that is due must have been answered before."""
        yield self.first(), True
        ahead = self.configured.sends_ahead or self.configured.duplex
        if not ahead:
            yield from self.nothing_due()
        yield from self.bodies()
        if self.response is not None:
            yield self.responded(), True

    def nothing_due(self) -> Iterator[tuple[pb.ProcessingRequest, bool]]:
        assert not self.due, "Envoy waits for the answer to the headers before it looks at the body"
        return iter(())

    def bodies(self) -> Iterator[tuple[pb.ProcessingRequest, bool]]:
        chunks, trailers = self.arriving.chunks, self.arriving.trailers
        if self.body_mode == MODE.NONE:
            self.body += b"".join(chunks)
        elif self.body_mode in {MODE.BUFFERED, MODE.BUFFERED_PARTIAL}:
            yield from self.held(b"".join(chunks), there=bool(chunks), ended=not trailers)
        else:
            for number, chunk in enumerate(chunks, 1):
                if not self.configured.duplex:
                    self.body += chunk
                yield part(chunk, end=number == len(chunks) and not trailers), False
        if trailers and self.trailers:
            if self.due and not self.configured.duplex:
                # They wait until all that came before them is answered, and nothing will come that could be.
                return
            message = pb.ProcessingRequest()
            message.request_trailers.trailers.headers.extend(line(name, value) for name, value in trailers)
            yield message, False

    def held(self, whole: bytes, *, there: bool, ended: bool) -> Iterator[tuple[pb.ProcessingRequest, bool]]:
        self.body += whole
        if not there:
            return
        partial = self.body_mode == MODE.BUFFERED_PARTIAL and len(whole) > self.configured.limit
        yield part(whole[: self.configured.limit] if partial else whole, end=ended and not partial), True

    def first(self) -> pb.ProcessingRequest:
        message = pb.ProcessingRequest()
        message.request_headers.headers.headers.extend(line(name, value) for name, value in self.arriving.lines)
        message.request_headers.end_of_stream = self.arriving.bare
        message.attributes[FILTER].update(dict(self.arriving.attributes))
        if self.configured.says:
            message.protocol_config.request_body_mode = self.configured.body
            message.protocol_config.send_body_without_waiting_for_header_response = self.configured.sends_ahead
        return message

    def responded(self) -> pb.ProcessingRequest:
        message = pb.ProcessingRequest()
        message.response_headers.headers.headers.append(line(":status", str(self.response)))
        message.response_headers.end_of_stream = True
        return message

    def take(self, answer: pb.ProcessingResponse) -> None:
        kind = answer.WhichOneof("response")
        told = answer.dynamic_metadata.fields
        if "groyne.dev" in told:
            self.verdict = told["groyne.dev"].struct_value.fields["verdict"].string_value
        if kind == "immediate_response":
            refused = answer.immediate_response
            named = {option.header.key: option.header.raw_value.decode() for option in refused.headers.set_headers}
            self.refused = Answered(status=refused.status.code, body=refused.body, content_type=named["content-type"])
            return
        if kind == "request_body" and self.configured.duplex:
            assert "request_headers" not in self.due, "a body before its headers"
            streamed = answer.request_body.response.body_mutation.streamed_response
            self.body += streamed.body
            return
        assert self.due, f"nothing is due, and {kind} comes"
        assert kind == self.due.popleft()
        if kind in {"request_headers", "request_body"}:
            self.change(getattr(answer, kind).response, kind)
        if kind == "request_headers" and self.configured.override and answer.HasField("mode_override"):
            self.body_mode = answer.mode_override.request_body_mode
            self.trailers = answer.mode_override.request_trailer_mode == MODE.SEND

    def change(self, common: pb.CommonResponse, kind: str) -> None:
        changes = common.header_mutation
        writes = bool(changes.set_headers or changes.remove_headers)
        if writes and kind == "request_body":
            assert self.body_mode in {MODE.BUFFERED, MODE.BUFFERED_PARTIAL}, "the headers have gone on already"
        assert not common.HasField("body_mutation"), "a body is never changed"
        for option in changes.set_headers:
            self.headers[option.header.key] = option.header.raw_value.decode("latin-1")
        for name in changes.remove_headers:
            self.headers.pop(name, None)


def line(name: str, value: str) -> object:
    found = pb.HttpHeaders().headers.headers.add()
    found.key, found.raw_value = name, value.encode("latin-1")
    return found


def part(data: bytes, *, end: bool) -> pb.ProcessingRequest:
    message = pb.ProcessingRequest()
    message.request_body.body, message.request_body.end_of_stream = data, end
    return message
