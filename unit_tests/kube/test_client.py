"""What each verb sends, and what its answers become."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kube.carrier import JSON, Answer, Stream
from kube.client import PARTIAL, PARTIAL_LIST, Client, WatchEvent
from kube.errors import ApiError, Conflict, Forbidden, Gone, Invalid, NotFound, Throttled, Unavailable
from kube.objects import Key, Raw, Resource
from unit_tests.kube.fake_streams import FakeStream
from unit_tests.kube.scripted import END, MAPS, ScriptedStream, Watched, config_map, event, listed, said, watched
from unit_tests.kube.virtual import run

SECRETS = Resource(version="v1", plural="secrets", kind="Secret")
POLICIES = Resource(group="networking.k8s.io", version="v1", plural="networkpolicies", kind="NetworkPolicy")
NODES = Resource(version="v1", plural="nodes", kind="Node", namespaced=False)
KEY = Key("team", "x")
DONE = Answer(status=200, body=json.dumps(config_map("x")).encode())


class Wire:
    """Answers the same every time, and keeps what was sent."""

    def __init__(self, answer: Answer | Watched | Exception = DONE) -> None:
        self.answer = answer
        self.method = self.path = self.content_type = self.accept = ""
        self.params: Mapping[str, str] = {}
        self.body: Any = None
        self.deadline = 0.0

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = JSON,
        accept: str = JSON,
        deadline: float,
    ) -> Answer:
        self.method, self.path, self.params, self.content_type, self.accept = method, path, params or {}, content_type, accept
        self.body, self.deadline = None if body is None else json.loads(body), deadline
        await asyncio.sleep(2)
        if isinstance(self.answer, Exception):
            raise self.answer
        assert isinstance(self.answer, Answer)
        return self.answer

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Mapping[str, str] | None = None, accept: str = JSON, open_deadline: float, silence: float
    ) -> AsyncIterator[Stream]:
        self.path, self.params, self.accept, self.deadline = path, params or {}, accept, open_deadline
        await asyncio.sleep(2)
        if isinstance(self.answer, Answer):
            yield FakeStream(self.answer.status, self.answer.headers, self.answer.body)
        else:
            assert isinstance(self.answer, Watched)
            yield ScriptedStream(self.answer)


def call(wire: Wire, does: Callable[[Client], Awaitable[Any]], observed: list[Any] | None = None) -> Any:
    async def calling() -> Any:
        observer = (lambda *seen: observed.append(seen)) if observed is not None else (lambda *seen: None)
        return await does(Client(wire, field_manager="groyne", observer=observer))

    return run(calling())


@pytest.mark.parametrize(
    ("does", "method", "path", "content_type", "params"),
    [
        (lambda c: c.get(MAPS, KEY), "GET", "/api/v1/namespaces/team/configmaps/x", JSON, {}),
        (lambda c: c.get(NODES, Key("", "n")), "GET", "/api/v1/nodes/n", JSON, {}),
        (
            lambda c: c.create(MAPS, {"a": 1}, namespace="team"),
            "POST",
            "/api/v1/namespaces/team/configmaps",
            JSON,
            {"fieldManager": "groyne"},
        ),
        (
            lambda c: c.apply(POLICIES, KEY, {"a": 1}),
            "PATCH",
            "/apis/networking.k8s.io/v1/namespaces/team/networkpolicies/x",
            "application/apply-patch+yaml",
            {"fieldManager": "groyne", "force": "true"},
        ),
        (
            lambda c: c.apply(MAPS, KEY, {"a": 1}, subresource="status", force=False, field_manager="other"),
            "PATCH",
            "/api/v1/namespaces/team/configmaps/x/status",
            "application/apply-patch+yaml",
            {"fieldManager": "other", "force": "false"},
        ),
        (
            lambda c: c.json_patch(MAPS, KEY, [{"op": "remove", "path": "/data"}]),
            "PATCH",
            "/api/v1/namespaces/team/configmaps/x",
            "application/json-patch+json",
            {"fieldManager": "groyne"},
        ),
        (
            lambda c: c.merge_patch(MAPS, KEY, {"a": 1}, subresource="status"),
            "PATCH",
            "/api/v1/namespaces/team/configmaps/x/status",
            "application/merge-patch+json",
            {"fieldManager": "groyne"},
        ),
        (lambda c: c.replace(MAPS, KEY, {"a": 1}), "PUT", "/api/v1/namespaces/team/configmaps/x", JSON, {"fieldManager": "groyne"}),
        (lambda c: c.delete(MAPS, KEY, uid="u"), "DELETE", "/api/v1/namespaces/team/configmaps/x", JSON, {}),
    ],
)
def test_each_verb_is_spelled_as_the_api_has_it(does: Any, method: str, path: str, content_type: str, params: Mapping[str, str]) -> None:
    wire = Wire()
    call(wire, does)
    assert (wire.method, wire.path, wire.content_type, dict(wire.params)) == (method, path, content_type, params)
    assert wire.deadline == 10


def test_a_delete_is_of_this_very_object() -> None:
    wire = Wire()
    call(wire, lambda c: c.delete(MAPS, KEY, uid="u"))
    assert wire.body["preconditions"] == {"uid": "u"}
    call(wire, lambda c: c.delete(MAPS, KEY, uid="u", resource_version="7"))
    assert wire.body["preconditions"] == {"uid": "u", "resourceVersion": "7"}


def test_what_is_gone_already_is_deleted() -> None:
    call(Wire(Answer(status=404)), lambda c: c.delete(MAPS, KEY, uid="u"))
    with pytest.raises(Conflict):
        call(Wire(Answer(status=409)), lambda c: c.delete(MAPS, KEY, uid="u"))


def test_a_list_asks_for_what_is_and_fills_in_what_items_lack() -> None:
    item = config_map("x")
    del item["kind"], item["apiVersion"]
    wire = Wire(listed(10, item, token="t"))
    page = call(wire, lambda c: c.list_page(MAPS, namespace="team", label_selector="a=b", field_selector="metadata.name=x"))
    assert wire.path == "/api/v1/namespaces/team/configmaps"
    assert wire.params == {"limit": "500", "labelSelector": "a=b", "fieldSelector": "metadata.name=x"}
    assert (page.items[0]["kind"], page.items[0]["apiVersion"]) == ("ConfigMap", "v1")
    assert (page.resource_version, page.continue_, page.dropped) == ("10", "t", 0)


def test_metadata_only_is_asked_for_without_a_second_choice() -> None:
    """Else a server that knows no partial objects would send whole Secrets."""
    wire = Wire(listed(10, {"kind": "PartialObjectMetadata", **config_map("x")}))
    page = call(wire, lambda c: c.list_page(MAPS, metadata_only=True))
    assert wire.accept == PARTIAL_LIST
    assert page.items[0]["kind"] == "ConfigMap"
    call(wire, lambda c: c.get(MAPS, KEY, metadata_only=True))
    assert wire.accept == PARTIAL
    assert "," not in PARTIAL + PARTIAL_LIST


def test_an_empty_list_may_be_null() -> None:
    body = json.dumps({"metadata": {"resourceVersion": "1"}, "items": None}).encode()
    assert call(Wire(Answer(status=200, body=body)), lambda c: c.list_page(MAPS)).items == []


@pytest.mark.parametrize(
    "body", ["[]", "{}", '{"metadata":{},"items":[]}', '{"metadata":{"resourceVersion":"1"},"items":{}}', "hunter2", ""]
)
def test_an_answer_that_is_no_list_is_unavailable(body: str) -> None:
    with pytest.raises(Unavailable):
        call(Wire(Answer(status=200, body=body.encode())), lambda c: c.list_page(MAPS))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../secrets/x", "a%2fb", "%2e%2e"])
@pytest.mark.parametrize("verb", ["get", "delete", "apply"])
def test_a_name_that_is_none_is_refused_before_it_is_sent(name: str, verb: str) -> None:
    """A reference to a Secret without a name would bring all of them; a delete would take them all."""
    wire = Wire()
    does: Mapping[str, Callable[[Client], Awaitable[Any]]] = {
        "get": lambda c: c.get(SECRETS, Key("team", name)),
        "delete": lambda c: c.delete(SECRETS, Key("team", name), uid="u"),
        "apply": lambda c: c.apply(SECRETS, Key("team", name), {}),
    }
    with pytest.raises(Invalid):
        call(wire, does[verb])
    assert not wire.path


def test_a_namespaced_object_without_a_namespace_is_refused_before_it_is_sent() -> None:
    with pytest.raises(Invalid):
        call(Wire(), lambda c: c.get(MAPS, Key("", "x")))


@pytest.mark.parametrize("name", ["a?watch=1", "a#b", "a b", "é", "a&b", "a;b"])
def test_what_else_a_name_holds_stays_in_the_name(name: str) -> None:
    wire = Wire()
    call(wire, lambda c: c.get(MAPS, Key("team", name)))
    assert wire.path.startswith("/api/v1/namespaces/team/configmaps/a") or name == "é"
    assert not set(wire.path) & set("?# &;é")


def test_the_observer_is_told_of_each_call_once() -> None:
    observed: list[Any] = []
    call(Wire(), lambda c: c.get(MAPS, KEY), observed)
    call(Wire(Answer(status=409)), lambda c: caught(c.create(MAPS, {}, namespace="team")), observed)
    call(Wire(Unavailable("no")), lambda c: caught(c.list_page(MAPS)), observed)
    call(Wire(watched(then=END)), events, observed)
    call(Wire(Answer(status=403)), lambda c: caught(events(c)), observed)
    assert observed == [
        ("get", MAPS, 200, 2),
        ("create", MAPS, 409, 2),
        ("list", MAPS, 0, 2),
        ("watch", MAPS, 200, 2),
        ("watch", MAPS, 403, 2),
    ]


async def caught(awaitable: Awaitable[Any]) -> ApiError | None:
    try:
        await awaitable
    except ApiError as error:
        return error
    return None


async def events(client: Client) -> list[WatchEvent]:
    async with client.watch(MAPS, resource_version="5", timeout_seconds=300) as found:
        return [each async for each in found]


def test_a_watch_gives_events_with_kinds_filled_in() -> None:
    wire = Wire(watched(event("ADDED", {"metadata": config_map("x")["metadata"]}), b"", event("BOOKMARK", {"metadata": {}}), then=END))
    added, mark = call(wire, events)
    assert wire.params == {"resourceVersion": "5", "timeoutSeconds": "300", "watch": "1", "allowWatchBookmarks": "true"}
    assert (added.type, added.object["kind"], mark.type) == ("ADDED", "ConfigMap", "BOOKMARK")


@pytest.mark.parametrize(
    ("status", "kind", "wait"),
    [
        (said(410, "Expired"), Gone, None),
        (said(429, retryAfterSeconds=3), Throttled, 3),
        (said(403, "Forbidden"), Forbidden, None),
        (said(500), Unavailable, None),
        ({}, Unavailable, None),
        ("text", Unavailable, None),
        (None, Unavailable, None),
    ],
)
def test_an_error_event_is_the_error_that_it_says(status: Any, kind: type[ApiError], wait: float | None) -> None:
    error = call(Wire(watched(event("ERROR", status))), lambda c: caught(events(c)))
    assert type(error) is kind
    assert error.retry_after == wait


@pytest.mark.parametrize(
    "line", [b"{", b"7", b"[]", b"null", b'"x"', b"{}", b'{"type":7,"object":{}}', b'{"type":"ODD","object":{}}', b"\xff"]
)
def test_a_line_that_is_no_event_is_unavailable(line: bytes) -> None:
    assert isinstance(call(Wire(watched(line)), lambda c: caught(events(c))), Unavailable)


def error_of(resource: Resource, answer: Answer) -> Any:
    return call(Wire(answer), lambda c: caught(c.get(resource, KEY)))


def status_of(code: int, reason: str, message: str = "", **details: Any) -> Answer:
    return Answer(status=code, body=json.dumps({**said(code, reason, **details), "message": message}).encode())


def test_an_error_says_what_was_asked_and_what_was_answered() -> None:
    error = error_of(POLICIES, status_of(403, "Forbidden", "not allowed"))
    assert str(error) == "get networkpolicies.networking.k8s.io team/x: 403 Forbidden: not allowed"


def test_of_a_secret_nothing_is_repeated() -> None:
    error = error_of(SECRETS, status_of(422, "Invalid", "data.password: hunter2 is too short"))
    assert "hunter2" not in str(error)
    assert str(error) == "get secrets team/x: 422 Invalid"


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"reason":7,"message":{},"details":[]}', b'{"details":{"causes":7}}', b"\xff" * 10]
)
def test_an_error_without_a_status_is_still_the_error_of_its_code(body: bytes) -> None:
    assert isinstance(error_of(MAPS, Answer(status=404, body=body)), NotFound)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), ("0.5", 0.5), ("-1", None), ("nan", None), ("inf", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("", None)],
)
def test_how_long_to_wait_is_a_number_of_seconds_or_not_said(header: str, seconds: float | None) -> None:
    assert error_of(MAPS, Answer(status=429, headers={"retry-after": header})).retry_after == seconds


def test_a_503_that_says_when_is_throttling_and_a_redirect_is_followed_nowhere() -> None:
    assert isinstance(error_of(MAPS, Answer(status=503, headers={"retry-after": "1"})), Throttled)
    assert type(error_of(MAPS, Answer(status=302, headers={"location": "https://elsewhere.test/"}))) is Unavailable


def test_a_patch_that_names_an_earlier_object_is_a_conflict() -> None:
    """The real server calls the uid immutable and the object invalid."""
    answer = status_of(422, "Invalid", causes=[{"reason": "FieldValueInvalid", "field": "metadata.uid"}])
    assert isinstance(call(Wire(answer), lambda c: caught(c.apply(MAPS, KEY, {}))), Conflict)
    assert isinstance(error_of(MAPS, status_of(422, "Invalid", causes=[{"field": "spec.uid"}])), Invalid)


def test_what_is_created_is_named_in_the_error() -> None:
    error = call(Wire(Answer(status=403)), lambda c: caught(c.create(MAPS, config_map("x"), namespace="team")))
    assert str(error) == "create configmaps team/x: 403"


def test_a_success_that_is_no_object_is_unavailable() -> None:
    assert isinstance(error_of(MAPS, Answer(status=200, body=b"[]")), Unavailable)


def test_partial_answers_bear_the_name_of_what_they_are_part_of() -> None:
    raw: Raw = call(Wire(Answer(status=200, body=b'{"kind":"PartialObjectMetadata","metadata":{"name":"x"}}')), lambda c: c.get(MAPS, KEY))
    assert (raw["kind"], raw["apiVersion"]) == ("ConfigMap", "v1")
