"""An API server in memory behind the two verbs of a `Carrier`, for whatever is built upon `kube.client`, on virtual time.

It lists (in pages), watches, gets, creates, patches (JSON, merge, apply), replaces and deletes as the real one does where a client
can tell the difference: versions, uids, generations, preconditions, status subresource, selectors, partial objects, Status answers.
`before` and `after` see every request and may answer in the server's place, raise, or name a delay in seconds: `before` nothing
has happened yet, `after` the write is done and only the answer is lost. `sent` is the list of all requests.

    server = FakeServer([CONFIG_MAPS])
    client = Client(server, field_manager="test")
    server.storage.create(CONFIG_MAPS, {...})      # someone else's writes
    server.streams                                 # the open watches, to cut, mute, end, or say nonsense in
"""

import asyncio
import base64
import copy
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from kube.carrier import JSON, Answer, Stream
from kube.errors import TimedOut
from kube.objects import Key, Raw, Resource, metadata
from unit_tests.kube.fake_edits import ContestedError, UnprocessableError, json_patch, merge
from unit_tests.kube.fake_selectors import Selection
from unit_tests.kube.fake_storage import RefusedError, Storage
from unit_tests.kube.fake_streams import FakeStream, FakeWatch

Fault = Answer | Exception | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request as it came in. `verb` is the one that RBAC names: get, list, watch, create, update, patch, delete."""

    verb: str
    resource: Resource
    key: Key
    subresource: str
    params: Mapping[str, str]
    content_type: str
    accept: str
    body: Any
    time: float


class FakeServer:
    def __init__(
        self,
        resources: Iterable[Resource],
        *,
        before: Callable[[Sent], Fault] = lambda sent: None,
        after: Callable[[Sent, Answer], Fault] = lambda sent, answer: None,
    ) -> None:
        self.storage = Storage(resources)
        self.before = before
        self.after = after
        self.sent: list[Sent] = []
        self.streams: list[FakeWatch] = []
        self._pages: dict[str, tuple[int, list[Raw]]] = {}

    def writes(self) -> list[Sent]:
        return [sent for sent in self.sent if sent.verb not in ("get", "list", "watch")]

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
        sent = self._read(method, path, params or {}, body, content_type, accept)
        try:
            async with asyncio.timeout(deadline):
                return await self._judged(sent)
        except TimeoutError:
            raise TimedOut(f"{method} {path}: no answer within the deadline") from None

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Mapping[str, str] | None = None, accept: str = JSON, open_deadline: float, silence: float
    ) -> AsyncIterator[Stream]:
        sent = self._read("GET", path, params or {}, None, JSON, accept)
        try:
            async with asyncio.timeout(open_deadline):
                opened = await self._opened(sent, silence)
        except TimeoutError:
            raise TimedOut(f"GET {path}: no answer within the deadline") from None
        try:
            yield opened
        finally:
            if isinstance(opened, FakeWatch):
                opened.close()
                self.streams.remove(opened)

    async def _judged(self, sent: Sent) -> Answer:
        if (answer := await _given(self.before(sent))) is not None:
            return answer
        try:
            answer = Answer(status=201 if sent.verb == "create" else 200, body=json.dumps(self._done(sent)).encode())
        except RefusedError as refused:
            answer = Answer(status=refused.code, body=json.dumps(refused.status).encode())
        return await _given(self.after(sent, answer)) or answer

    async def _opened(self, sent: Sent, silence: float) -> FakeStream:
        answer = await _given(self.before(sent))
        if answer is None and sent.resource not in self.storage.resources:
            answer = Answer(status=404, body=b"404 page not found")
        if answer is not None:
            return FakeStream(answer.status, answer.headers, answer.body)
        selection = Selection.of(sent.key.namespace, sent.params)
        watch = FakeWatch(self.storage, sent.resource, selection, sent.params, _shown(sent), silence)
        self.streams.append(watch)
        return watch

    def _read(self, method: str, path: str, params: Mapping[str, str], body: bytes | None, content_type: str, accept: str) -> Sent:
        resource, key, subresource = _parsed(path, self.storage.resources)
        verb = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[method]
        if verb == "get" and not key.name:
            verb = "watch" if "watch" in params else "list"
        sent = Sent(
            verb=verb,
            resource=resource,
            key=key,
            subresource=subresource,
            params=dict(params),
            content_type=content_type,
            accept=accept,
            body=None if body is None else json.loads(body),
            time=asyncio.get_running_loop().time(),
        )
        self.sent.append(sent)
        return sent

    def _done(self, sent: Sent) -> Raw:
        if sent.resource not in self.storage.resources:
            raise RefusedError(404, "NotFound", "the server could not find the requested resource")
        does: Mapping[str, Callable[[Sent], Raw]] = {
            "list": self._list,
            "get": lambda sent: _shown(sent)(self.storage.found(sent.resource, sent.key)),
            "create": self._create,
            "update": self._update,
            "patch": self._apply if "apply" in sent.content_type else self._patch,
            "delete": lambda sent: self.storage.delete(sent.resource, sent.key, (sent.body or {}).get("preconditions")),
        }
        return does[sent.verb](sent)

    def _list(self, sent: Sent) -> Raw:
        asked = sent.params.get("resourceVersion", "")
        if asked.isdecimal() and int(asked) > self.storage.version:
            raise RefusedError(504, "Timeout", "Too large resource version", {"causes": [{"reason": "ResourceVersionTooLarge"}]})
        version, items = self._begun(sent)
        limit = int(sent.params.get("limit") or len(items))
        head = {"resourceVersion": str(version)}
        if len(items) > limit:
            token = base64.b64encode(f"{version}/{len(self._pages)}".encode()).decode()
            self._pages[token] = (version, items[limit:])
            head["continue"] = token
        said = [{name: value for name, value in _shown(sent)(raw).items() if name not in ("apiVersion", "kind")} for raw in items[:limit]]
        return {"kind": f"{sent.resource.kind}List", "apiVersion": sent.resource.api_version, "metadata": head, "items": said}

    def _begun(self, sent: Sent) -> tuple[int, list[Raw]]:
        if token := sent.params.get("continue"):
            version, items = self._pages.get(token, (0, []))
            if version < self.storage.oldest:
                raise RefusedError(410, "Expired", "The provided continue parameter is too old")
            return version, items
        selection, there = Selection.of(sent.key.namespace, sent.params), self.storage.objects(sent.resource)
        return self.storage.version, [there[key] for key in sorted(there) if selection.holds(there[key])]

    def _create(self, sent: Sent) -> Raw:
        body = copy.deepcopy(sent.body)
        body.pop("status", None)
        head = body.setdefault("metadata", {})
        if sent.resource.namespaced:
            head.setdefault("namespace", sent.key.namespace)
        if not head.get("name"):
            head["name"] = f"{head.pop('generateName', 'generated-')}{self.storage.version}"
        if head.get("namespace", "") != sent.key.namespace:
            raise RefusedError(400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request")
        return self.storage.create(sent.resource, body, manager=_manager(sent))

    def _update(self, sent: Sent) -> Raw:
        old = self.storage.found(sent.resource, sent.key)
        uid = metadata(sent.body).get("uid")
        if uid and uid != metadata(old)["uid"]:
            raise RefusedError(409, "Conflict", f"Precondition failed: UID in precondition: {uid}")
        return self._written(sent, old, sent.body)

    def _patch(self, sent: Sent) -> Raw:
        old = copy.deepcopy(self.storage.found(sent.resource, sent.key))
        try:
            new = json_patch(old, sent.body) if "json-patch" in sent.content_type else merge(old, sent.body)
        except UnprocessableError:
            raise RefusedError(422, "Invalid", "the server rejected our request due to an error in our request") from None
        return self._written(sent, old, new)

    def _apply(self, sent: Sent) -> Raw:
        manager, force = _manager(sent), sent.params.get("force") == "true"
        old = self.storage.get(sent.resource, sent.key)
        if old is None:
            return self._applied_anew(sent, manager)
        _check_preconditions(old, sent.body)
        owners = self.storage.owners(old)
        before = copy.deepcopy(owners)
        try:
            new = owners.apply(manager, old, sent.body, force=force)
        except ContestedError as contested:
            raise RefusedError(409, "Conflict", f"Apply failed with 1 conflict: {contested}") from None
        return self.storage.update(sent.resource, sent.key, new, subresource=sent.subresource, owned_anew=owners != before)

    def _applied_anew(self, sent: Sent, manager: str) -> Raw:
        if metadata(sent.body).get("uid"):
            raise RefusedError(409, "Conflict", "uid mismatch: the provided object specified uid, and no existing object was found")
        if sent.subresource:
            raise RefusedError(404, "NotFound", f'{sent.resource} "{sent.key.name}" not found')
        made = self._create(sent)
        owners = self.storage.owners(made)
        owners.fields.clear()
        owners.apply(manager, made, sent.body, force=True)
        return made

    def _written(self, sent: Sent, old: Raw, new: Raw) -> Raw:
        _check_preconditions(old, new)
        said = self.storage.update(sent.resource, sent.key, new, subresource=sent.subresource)
        self.storage.owners(old).wrote(_manager(sent), old, said)
        return said


async def _given(fault: Fault) -> Answer | None:
    if isinstance(fault, Exception):
        raise fault
    if isinstance(fault, Answer):
        return fault
    await asyncio.sleep(fault or 0)
    return None


def refusal(code: int, reason: str = "", *, retry_after: int | None = None, message: str = "") -> Answer:
    """A Status as an answer, for faults."""
    headers = {"retry-after": str(retry_after)} if retry_after is not None else {}
    return Answer(status=code, headers=headers, body=json.dumps(RefusedError(code, reason, message).status).encode())


def _check_preconditions(old: Raw, new: Raw) -> None:
    version, uid = metadata(new).get("resourceVersion"), metadata(new).get("uid")
    if version and version != metadata(old)["resourceVersion"]:
        raise RefusedError(409, "Conflict", "the object has been modified; please apply your changes to the latest version and try again")
    if uid and uid != metadata(old)["uid"]:
        cause = {"reason": "FieldValueInvalid", "field": "metadata.uid", "message": "field is immutable"}
        raise RefusedError(422, "Invalid", "metadata.uid: field is immutable", {"causes": [cause]})


def _shown(sent: Sent) -> Callable[[Raw], Raw]:
    if "as=PartialObjectMetadata" not in sent.accept:
        return lambda raw: raw
    return lambda raw: {"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": raw["metadata"]}


def _manager(sent: Sent) -> str:
    return sent.params.get("fieldManager", "unknown")


def _parsed(path: str, resources: Iterable[Resource]) -> tuple[Resource, Key, str]:
    parts = path.strip("/").split("/")
    group, version, rest = ("", parts[1], parts[2:]) if parts[0] == "api" else (parts[1], parts[2], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = (*rest, "", "")[:3]
    known = [each for each in resources if (each.group, each.version, each.plural) == (group, version, plural)]
    return (known or [Resource(group=group, version=version, plural=plural, kind="")])[0], Key(namespace, name), subresource
