"""The verbs of the Kubernetes API on a `Resource`: objects in and out as dicts, failures as `kube.errors`, never anything else.

Every call has a deadline and is told to an observer. One call is one attempt: whether, when and from where to try again is
decided by whoever knows what is at stake, the reflector or a work queue; what the server asked to wait with is Throttled at once until
then. Of Secrets nothing is repeated in an error.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal, Self
from urllib.parse import quote

from kube.answers import Said, error_of, failure, named, usable
from kube.carrier import JSON, Carrier, Stream
from kube.decoding import decode_object, encode
from kube.errors import Invalid, NotFound, NotLeading, Throttled, Unavailable
from kube.objects import Key, Raw, Resource, key_of, metadata
from kube.patience import Patience

# verb, resource, status (0: no answer), seconds. Verbs: list, watch, get, create, apply, patch, update, delete.
CallObserver = Callable[[str, Resource, int, float], None]
EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
EVENT_TYPES: Mapping[str, EventType] = {"ADDED": "ADDED", "MODIFIED": "MODIFIED", "DELETED": "DELETED", "BOOKMARK": "BOOKMARK"}
# Without a second choice: a server that knows no partial objects would send whole Secrets instead.
PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """`continue_` is empty on the last page. `dropped` counts items without a name to keep them under."""

    items: list[Raw]
    resource_version: str
    continue_: str = ""
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEvent:
    type: EventType
    object: Raw


def quiet(verb: str, resource: Resource, code: int, seconds: float) -> None:
    pass


def always() -> bool:
    return True


class Client:
    """`observer` must not raise. `may_write` is asked right before each write is sent; where it says no, NotLeading is raised."""

    def __init__(
        self,
        carrier: Carrier,
        *,
        field_manager: str,
        deadline: float = 10.0,
        observer: CallObserver = quiet,
        may_write: Callable[[], bool] = always,
    ) -> None:
        self._may_write = may_write
        self._carrier = carrier
        self._manager = field_manager
        self._deadline = deadline
        self._observer = observer
        self._patience = Patience()

    async def list_page(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 500,
        continue_: str = "",
        resource_version: str = "",
        metadata_only: bool = False,
    ) -> Page:
        """`limit=0` is everything on one page. An empty `resource_version` asks for what is, not for what a cache remembers."""
        selected = {"labelSelector": label_selector, "fieldSelector": field_selector}
        params = {**selected, "limit": str(limit or ""), "continue": continue_, "resourceVersion": resource_version}
        accept = PARTIAL_LIST if metadata_only else JSON
        said = await self._call("list", "GET", resource, Key(namespace, ""), params=params, accept=accept)
        head, found = metadata(said), said.get("items")
        version, token = head.get("resourceVersion"), head.get("continue")
        if not isinstance(version, str) or not version or not isinstance(found, list | None):
            raise Unavailable(f"list {resource}: the answer is no list")
        items = [named(item, resource) for item in found or () if usable(item, resource)]
        dropped = len(found or ()) - len(items)
        return Page(items=items, resource_version=version, continue_=token if isinstance(token, str) else "", dropped=dropped)

    @asynccontextmanager
    async def watch(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str,
        timeout_seconds: int,
        metadata_only: bool = False,
        silence: float = 120.0,
    ) -> AsyncIterator[AsyncIterator[WatchEvent]]:
        """Entering opens it, or raises why not. The events end where the server ends them, after `timeout_seconds` at the latest."""
        selected = {"labelSelector": label_selector, "fieldSelector": field_selector}
        timing = {"resourceVersion": resource_version, "timeoutSeconds": str(timeout_seconds)}
        params = given({**selected, **timing, "watch": "1", "allowWatchBookmarks": "true"})
        path, accept = path_of(resource, Key(namespace, "")), PARTIAL if metadata_only else JSON
        said = Said(doing=f"watch {resource}", resource=resource)
        with self._observed("watch", resource) as seen:
            opening = self._carrier.stream(path, params=params, accept=accept, open_deadline=self._deadline, silence=silence)
            async with opening as stream:
                seen.done(stream.status)
                if stream.status != 200:
                    raise failure(said, stream.status, stream.headers, stream.body)
                async with aclosing(_events(stream, said)) as events:
                    yield events

    async def get(self, resource: Resource, key: Key, *, metadata_only: bool = False) -> Raw:
        return await self._call("get", "GET", resource, key, accept=PARTIAL if metadata_only else JSON)

    async def create(self, resource: Resource, body: Raw, *, namespace: str = "", metadata_only: bool = False) -> Raw:
        """With `metadata_only`, the answer is: what was sent need not come back."""
        params, accept = {"fieldManager": self._manager}, PARTIAL if metadata_only else JSON
        return await self._call(
            "create", "POST", resource, Key(namespace, ""), about=key_of(body).name, params=params, body=body, accept=accept
        )

    async def apply(
        self, resource: Resource, key: Key, body: Raw, *, subresource: str = "", force: bool = True, field_manager: str | None = None
    ) -> Raw:
        """Server-side apply. With `metadata.uid` in `body`, only to that very object, and with `metadata.resourceVersion` too, only
        to that version of it: else Conflict. A version alone does not keep a missing object from being made.

        What was written by `create`, `replace` or a patch stays when it is no longer applied, also by the same manager: the server
        keeps the two ways of writing apart. A field that may have to go is therefore never to be created first and applied later.
        """
        params = {"fieldManager": field_manager or self._manager, "force": "true" if force else "false"}
        kind = "application/apply-patch+yaml"
        return await self._call("apply", "PATCH", resource, key, subresource=subresource, params=params, body=body, content_type=kind)

    async def json_patch(
        self, resource: Resource, key: Key, operations: list[Raw], *, subresource: str = "", metadata_only: bool = False
    ) -> Raw:
        """A `test` that fails is Invalid (422): the server does not tell it from other faults of a patch."""
        return await self._patch(resource, key, operations, subresource, "application/json-patch+json", PARTIAL if metadata_only else JSON)

    async def merge_patch(self, resource: Resource, key: Key, body: Raw, *, subresource: str = "") -> Raw:
        return await self._patch(resource, key, body, subresource, "application/merge-patch+json")

    async def replace(self, resource: Resource, key: Key, body: Raw, *, subresource: str = "") -> Raw:
        params = {"fieldManager": self._manager}
        return await self._call("update", "PUT", resource, key, subresource=subresource, params=params, body=body)

    async def delete(self, resource: Resource, key: Key, *, uid: str, resource_version: str | None = None) -> None:
        """Only this very object, and only this version of it: else Conflict. That it is gone already is no failure."""
        preconditions = {"uid": uid} | ({"resourceVersion": resource_version} if resource_version else {})
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        try:
            await self._call("delete", "DELETE", resource, key, body=body)
        except NotFound:
            return

    async def _patch(self, resource: Resource, key: Key, body: Any, subresource: str, content_type: str, accept: str = JSON) -> Raw:
        sent = {"params": {"fieldManager": self._manager}, "body": body, "content_type": content_type, "accept": accept}
        return await self._call("patch", "PATCH", resource, key, subresource=subresource, **sent)

    async def _call(
        self,
        verb: str,
        method: str,
        resource: Resource,
        key: Key,
        *,
        about: str = "",
        subresource: str = "",
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> Raw:
        said = Said(doing=f"{verb} {resource} {Key(key.namespace, key.name or about)}".rstrip(" /"), resource=resource)
        if verb not in ("list", "create"):
            check_complete(resource, key)
        path, data = path_of(resource, key, subresource), None if body is None else encode(body)
        if method != "GET" and not self._may_write():
            raise NotLeading(f"{said.doing}: another may lead by now")
        item = method, path, about
        if wait := self._patience.left(item):
            raise Throttled(f"{said.doing}: the server asked to wait", reason="TooManyRequests", retry_after=wait)
        with self._observed(verb, resource) as seen:
            answer = await self._carrier.request(
                method,
                path,
                params=given(params or {}),
                body=data,
                content_type=content_type,
                accept=accept,
                deadline=self._deadline,
            )
            seen.done(answer.status)
        if not 200 <= answer.status < 300:
            error = failure(said, answer.status, answer.headers, answer.body)
            if isinstance(error, Throttled) and error.retry_after:
                self._patience.note(item, error.retry_after)
            raise error
        found = decode_object(answer.body, doing=said.doing)
        return found if verb in ("list", "delete") else named(found, resource)

    def _observed(self, verb: str, resource: Resource) -> "Observed":
        return Observed(self._observer, verb, resource)


class Observed:
    """Tells the observer of one call, once: when it was answered, or that it never was."""

    def __init__(self, observer: CallObserver, verb: str, resource: Resource) -> None:
        self._observer = observer
        self._verb = verb
        self._resource = resource
        self._told = False
        self._began = asyncio.get_running_loop().time()

    def done(self, code: int) -> None:
        if not self._told:
            self._told = True
            self._observer(self._verb, self._resource, code, asyncio.get_running_loop().time() - self._began)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or not issubclass(kind, asyncio.CancelledError):
            self.done(0)


def path_of(resource: Resource, key: Key, subresource: str = "") -> str:
    """A name comes from users, too: it must not lead anywhere but to the object of that name."""
    for part in key:
        if part in (".", "..") or "/" in part or "%" in part:
            raise _no_name(resource, key)
    return resource.path(quote(key.namespace, safe=":"), quote(key.name, safe=":"), subresource)


def check_complete(resource: Resource, key: Key) -> None:
    """Without a name, a delete would mean the whole collection, and a get would bring it."""
    if not key.name or (resource.namespaced and not key.namespace):
        raise _no_name(resource, key)


def given(params: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in params.items() if text}


def _no_name(resource: Resource, key: Key) -> Invalid:
    return Invalid(f"{resource} {key}: not the name of an object", status=422, reason="InvalidName")


async def _events(stream: Stream, said: Said) -> AsyncGenerator[WatchEvent, None]:
    async for line in stream:
        if not line.strip():
            continue
        event = decode_object(line, doing=said.doing)
        found = event.get("object")
        if event.get("type") == "ERROR":
            raise error_of(said, 0, {}, found if isinstance(found, dict) else {})
        kind = EVENT_TYPES.get(str(event.get("type")))
        if kind is None:
            raise Unavailable(f"{said.doing}: an event of unknown type")
        if isinstance(found, dict) and (kind == "BOOKMARK" or usable(found, said.resource)):
            yield WatchEvent(type=kind, object=named(found, said.resource))
