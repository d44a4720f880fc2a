"""`ProcessingRequest` → event, answer → `ProcessingResponse`; Envoy's words stand here and nowhere else.

A header's value is read from `raw_value`, and from `value` where an older Envoy filled that. Attributes are those under
the filter's own name. What is neither known nor readable becomes None, and the stream ends with an error: fail closed.
"""

from collections.abc import Mapping
from functools import lru_cache

from envoy.config.core.v3 import base_pb2
from envoy.extensions.filters.http.ext_proc.v3 import processing_mode_pb2
from envoy.service.ext_proc.v3 import external_processor_pb2 as pb
from google.protobuf import struct_pb2
from google.protobuf.message import DecodeError

from dataplane.external_protocol import OWN_NAMESPACE, VERDICT
from extproc.events import Answer, Body, BodyMode, Continue, Event, Headers, Mutate, Phase, Refuse, Response, Stream, Trailers

FILTER = "envoy.filters.http.ext_proc"
OVERWRITE = base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD

MODES: Mapping[int, BodyMode] = {
    processing_mode_pb2.ProcessingMode.NONE: BodyMode.NONE,
    processing_mode_pb2.ProcessingMode.STREAMED: BodyMode.STREAMED,
    processing_mode_pb2.ProcessingMode.BUFFERED: BodyMode.BUFFERED,
    processing_mode_pb2.ProcessingMode.BUFFERED_PARTIAL: BodyMode.BUFFERED_PARTIAL,
    processing_mode_pb2.ProcessingMode.FULL_DUPLEX_STREAMED: BodyMode.FULL_DUPLEX,
}
FIELDS = {
    Phase.REQUEST_HEADERS: "request_headers",
    Phase.REQUEST_BODY: "request_body",
    Phase.REQUEST_TRAILERS: "request_trailers",
    Phase.RESPONSE_HEADERS: "response_headers",
    Phase.RESPONSE_BODY: "response_body",
    Phase.RESPONSE_TRAILERS: "response_trailers",
}


class Unreadable(Exception):  # noqa: N818 - what the message is
    """No message of Envoy's, or one that nobody knows. The text is fixed."""


class Reader:
    """Reads the messages of one stream: how bodies come is said in the first one only."""

    __slots__ = ("_request_mode", "_response_duplex", "_sends_ahead")

    def __init__(self) -> None:
        self._request_mode = BodyMode.UNKNOWN
        self._response_duplex = False
        self._sends_ahead = False

    def read(self, data: bytes) -> Event:
        """Raises Unreadable."""
        try:
            message = pb.ProcessingRequest.FromString(data)
        except DecodeError:
            raise Unreadable("not a ProcessingRequest") from None
        if message.HasField("protocol_config"):
            self._note(message.protocol_config)
        match message.WhichOneof("request"):
            case "request_headers":
                return self._headers(message)
            case "request_body":
                return Body(data=message.request_body.body, end=message.request_body.end_of_stream)
            case "request_trailers":
                return Trailers()
            case "response_headers":
                return Response(phase=Phase.RESPONSE_HEADERS, status=status_of(message.response_headers))
            case "response_body":
                part = message.response_body
                return Response(phase=Phase.RESPONSE_BODY, data=part.body, end=part.end_of_stream, duplex=self._response_duplex)
            case "response_trailers":
                return Response(phase=Phase.RESPONSE_TRAILERS)
            case _:
                raise Unreadable("a ProcessingRequest of no known kind")

    def _note(self, config: pb.ProtocolConfiguration) -> None:
        self._request_mode = MODES.get(config.request_body_mode, BodyMode.UNKNOWN)
        self._response_duplex = MODES.get(config.response_body_mode) is BodyMode.FULL_DUPLEX
        self._sends_ahead = config.send_body_without_waiting_for_header_response

    def _headers(self, message: pb.ProcessingRequest) -> Headers:
        headers = message.request_headers
        return Headers(
            lines=lines_of(headers),
            end=headers.end_of_stream,
            attributes=attributes_of(message),
            body_mode=self._request_mode,
            sends_ahead=self._sends_ahead,
        )


def lines_of(headers: pb.HttpHeaders) -> tuple[tuple[str, str], ...]:
    return tuple((line.key, line.raw_value.decode("latin-1") or wire(line.value)) for line in headers.headers.headers)


def wire(value: str) -> str:
    return value.encode("utf-8", "replace").decode("latin-1") if value else ""


def attributes_of(message: pb.ProcessingRequest) -> dict[str, str]:
    if FILTER not in message.attributes:
        return {}
    return {name: text_of(value) for name, value in message.attributes[FILTER].fields.items()}


def text_of(value: struct_pb2.Value) -> str:
    """Text, or a struct whose `value` is one; of any other kind nothing is known."""
    if value.WhichOneof("kind") == "struct_value" and "value" in value.struct_value.fields:
        value = value.struct_value.fields["value"]
    # Of another kind it is empty.
    text: str = value.string_value
    return text


def status_of(headers: pb.HttpHeaders) -> int | None:
    for line in headers.headers.headers:
        if line.key == ":status":
            text = line.raw_value.decode("latin-1") or line.value
            return int(text) if text.isdecimal() else None
    return None


def write(answer: Answer) -> bytes:
    """A message that is told in two parts is the one after the other, as protobuf has it."""
    match answer:
        case Continue():
            return BUFFERING if answer.buffer else CONTINUES[answer.phase]
        case Mutate():
            return told(answer.verdict, answer.rule, "", answer.acted) + serialised(mutation(answer))
        case Stream():
            return serialised(streamed(answer))
        case Refuse():
            return told("blocked", answer.rule, answer.reason, "") + serialised(refusal(answer))


def serialised(response: pb.ProcessingResponse) -> bytes:
    data: bytes = response.SerializeToString()
    return data


def mutation(answer: Mutate) -> pb.ProcessingResponse:
    response = pb.ProcessingResponse()
    part = response.request_body if answer.phase is Phase.REQUEST_BODY else response.request_headers
    part.response.SetInParent()
    changes = part.response.header_mutation
    for name, value in answer.set:
        option = changes.set_headers.add(append_action=OVERWRITE, keep_empty_value=True)
        option.header.key, option.header.raw_value = name, value.encode("latin-1")
    if answer.remove:
        changes.remove_headers.extend(answer.remove)
    return response


def streamed(answer: Stream) -> pb.ProcessingResponse:
    response = pb.ProcessingResponse()
    part = response.request_body if answer.phase is Phase.REQUEST_BODY else response.response_body
    part.response.body_mutation.streamed_response.body = answer.data
    part.response.body_mutation.streamed_response.end_of_stream = answer.end
    return response


def refusal(answer: Refuse) -> pb.ProcessingResponse:
    response = pb.ProcessingResponse()
    immediate = response.immediate_response
    immediate.status.code = answer.status
    immediate.body = answer.body
    immediate.details = f"groyne_{answer.reason}"
    kind = immediate.headers.set_headers.add(append_action=OVERWRITE)
    kind.header.key, kind.header.raw_value = "content-type", answer.content_type.encode()
    return response


@lru_cache(maxsize=4096)
def told(verdict: str, rule: str, reason: str, acted: str) -> bytes:
    """What the access log says of it: the same for many requests."""
    found = struct_pb2.Struct()
    fields = found.fields[OWN_NAMESPACE].struct_value.fields
    fields[VERDICT].string_value, fields["rule"].string_value = verdict, rule
    for name, text in (("reason", reason), ("acted", acted)):
        if text:
            fields[name].string_value = text
    return serialised(pb.ProcessingResponse(dynamic_metadata=found))


def buffering() -> pb.ProcessingResponse:
    response = plain(Phase.REQUEST_HEADERS)
    response.mode_override.request_body_mode = processing_mode_pb2.ProcessingMode.BUFFERED
    # Where trailers come without a body, Envoy would else not ask again.
    response.mode_override.request_trailer_mode = processing_mode_pb2.ProcessingMode.SEND
    return response


def plain(phase: Phase) -> pb.ProcessingResponse:
    response = pb.ProcessingResponse()
    getattr(response, FIELDS[phase]).SetInParent()
    return response


CONTINUES = {phase: serialised(plain(phase)) for phase in Phase}
BUFFERING = serialised(buffering())
