"""A cluster's objects as the source of snapshots.

    informers (profiles, templates, opted-in namespaces, their Secrets as metadata, pods for a gateway)
        ──▶ something changed, and it is quiet, or very many changed ──▶ values by name ──▶ a whole new snapshot

There is no snapshot before everything was listed once. Afterwards the API server may be away for as long as it likes: what was
read last stays in force. A profile that does not compile any more stays in force as it was, after a restart too: as the
controller kept it. ConfigMaps have no watch of their own: those that are named are read again every `REREAD` seconds. What is
the same as before makes no snapshot.
"""

import asyncio
import json
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from sys import intern
from typing import NoReturn

from crds import parse
from crds.sandbox_template import SandboxTemplate
from daemon.kinds import GLOBAL_PROFILES, NAMESPACES, OLDER_TEMPLATES, PODS, PROFILES, SECRETS, TEMPLATES
from daemon.last_good import LastGood
from daemon.opted_in import OptedIn
from daemon.profile_book import ProfileBook, Version, our_annotations, ref_of
from daemon.secret_reader import SecretReader
from extproc.feed import Swap
from extproc.feed.pace import Pace, put_aside
from extproc.feed.quiet import Quiet
from extproc.feed.sharing import Sharing
from extproc.feed.values import Values, config_maps_named, secrets_named
from extproc.snapshot import NamedIn, Pod, Snapshot, Sources
from kube import objects
from kube.client import Client
from kube.errors import Forbidden, NotFound
from kube.failures import where
from kube.informer import Informer, Turned
from kube.objects import Key, Raw, Resource
from policy.program import Engine, Profile, ProfileRef, Program
from policy.template_identity import template_identity

REREAD = 30.0
RETRY = 2.0
POLL = 0.05
AT_ONCE = 1000
"""Profiles between two snapshots where more have changed: so few are there twice, the old and the new, and edits need not wait for all."""
OPT_IN_LABEL = "groyne.dev/secrets=managed"
HEAD = ("name", "namespace", "uid", "generation", "resourceVersion", "annotations")
SPEC = "packed"
NOTHING: Raw = {}
ENDED = frozenset({"Succeeded", "Failed"})

log = logging.getLogger(__name__)


class ClusterFeed:
    """`addresses`: pods are watched, so that a gateway's requests can be told by where they come from."""

    def __init__(
        self, client: Client, swap: Swap, *, namespace: str = "", opt_in_label: str = OPT_IN_LABEL, addresses: bool = False
    ) -> None:
        self._client, self._swap, self._namespace = client, swap, namespace
        self._book = ProfileBook(engines=frozenset(Engine), kept=lean(Sharing()))
        self._arrived: dict[ProfileRef, Raw | None] = {}
        """Profiles that changed and were not compiled yet, packed; None: gone."""
        self._stale = True
        self._sources: Sources | None = None
        """What the last snapshot was made of."""
        self._templates: dict[NamedIn, tuple[tuple[str, str], ...]] = {}
        self._pods: dict[Key, tuple[Pod, tuple[str, ...]]] = {}
        self._quiet = Quiet()
        self._informers = self._make(opt_in_label, addresses=addresses)
        self._retry: asyncio.TimerHandle | None = None

    async def run(self) -> NoReturn:
        """Until cancelled. What the API server does never ends it."""
        async with asyncio.TaskGroup() as group:
            opted_in = OptedIn(group=group, make=self._secrets_informer, changed=lambda namespace: self._access_changed(secrets, namespace))
            secrets = SecretReader(self._client, opted_in.informer)
            self._listen(opted_in)
            for name, informer in self._informers.items():
                group.create_task(informer.run(), name=f"informer {name}")
            if self._namespace:
                opted_in.add(self._namespace)
            while self.lacking() or opted_in.pending:  # noqa: ASYNC110 - many caches, and namespaces come while we wait
                await asyncio.sleep(POLL)
            await self._keep_up(opted_in, secrets)
        raise AssertionError("the feed does not end by itself")

    def lacking(self) -> list[str]:
        """What has not been listed yet. Templates may not exist in a cluster that has only a gateway."""
        return [name for name, informer in self._informers.items() if not settled(name, informer)]

    async def _keep_up(self, opted_in: OptedIn, secrets: SecretReader) -> NoReturn:
        values = Values(self._client, secrets, again=self._soon)
        last_good = LastGood(client=self._client, profiles=self._book, changed=lambda _: self._touch())
        while self._arrived:
            await self._compile()
        await last_good.restore(opted_in.open)
        put_aside()
        while True:
            changed, more = await self._compile(), bool(self._arrived)
            if changed or self._stale:
                self._stale = False
                await self._read(values, opted_in)
            if not more:
                await self._quiet.wait()

    async def _compile(self) -> bool:
        """Some of what has arrived: whether anything is another than before."""
        changed, pace = False, Pace()
        for _ in range(min(AT_ONCE, len(self._arrived))):
            ref = next(iter(self._arrived))
            raw = self._arrived.pop(ref)
            try:
                change = self._book.put(unpack(raw)) if raw else self._book.remove(ref)
            except ImportError:  # a library is missing: that is not this profile's doing, and no profile must be passed over for it
                raise
            except Exception as error:  # noqa: BLE001 - no profile keeps the others from being read; its text may hold what nobody should see
                log.error("a profile could not be read: %s", where(error), extra={"profile": str(ref)})  # noqa: TRY400
                continue
            changed = changed or change is not None
            await pace.breathe()
        return changed

    async def _read(self, values: Values, opted_in: OptedIn) -> None:
        found = await asyncio.to_thread(look, self._book, opted_in.open)
        profiles = found.profiles
        secrets, maps = await values.secrets(found.secrets), await values.config_maps(found.config_maps)
        templates, pods = dict(self._templates), dict(self._pods)

        def made() -> Snapshot | None:
            sources = Sources(
                program=Program(profiles=profiles), secrets=secrets, config_maps=maps, templates=templates, pods=by_address(pods)
            )
            return None if sources == self._sources else Snapshot(sources)

        snapshot = await asyncio.to_thread(made)
        if snapshot:
            self._sources = snapshot.sources
            self._swap(snapshot)
            log.info("read the cluster", extra={"profiles": len(profiles), "secrets": len(secrets)})
        if found.config_maps:
            self._after(REREAD)

    def _access_changed(self, secrets: SecretReader, namespace: str) -> None:
        secrets.forget_closed(namespace)
        self._touch()

    def _touch(self) -> None:
        self._stale = True
        self._quiet.touch()

    def _soon(self) -> None:
        self._after(RETRY)

    def _after(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._retry and not self._retry.cancelled() and self._retry.when() > loop.time():
            if self._retry.when() <= loop.time() + seconds:
                return
            self._retry.cancel()
        self._retry = loop.call_later(seconds, self._touch)

    def _make(self, opt_in_label: str, *, addresses: bool) -> dict[str, Informer]:
        def informer(resource: Resource, namespace: str = "", **more: object) -> Informer:
            return Informer(self._client, resource, namespace=namespace, random=random.random, **more)  # type: ignore[arg-type]

        found = {
            "profiles": informer(PROFILES, self._namespace, transform=packed),
            "globals": informer(GLOBAL_PROFILES, transform=packed),
            "templates": informer(TEMPLATES, self._namespace, otherwise=OLDER_TEMPLATES),
        }
        if not self._namespace:
            found["namespaces"] = informer(NAMESPACES, label_selector=opt_in_label, metadata_only=True)
        if addresses:
            found["pods"] = informer(PODS, self._namespace, transform=pod_without_spec)
        return found

    def _secrets_informer(self, namespace: str, turned: Turned) -> Informer:
        informer = Informer(self._client, SECRETS, namespace=namespace, metadata_only=True, random=random.random, turned=turned)
        informer.add_handler(lambda _, __: self._touch())
        return informer

    def _listen(self, opted_in: OptedIn) -> None:
        self._informers["profiles"].add_handler(self._profile)
        self._informers["globals"].add_handler(self._profile)
        self._informers["templates"].add_handler(self._template)
        if "pods" in self._informers:
            self._informers["pods"].add_handler(self._pod)
        if "namespaces" in self._informers:
            self._informers["namespaces"].add_handler(lambda old, new: self._space(opted_in, old, new))

    def _profile(self, old: Raw | None, new: Raw | None) -> None:
        self._arrived[ref_of(new or old or {})] = new
        self._quiet.touch()

    def _template(self, old: Raw | None, new: Raw | None) -> None:
        key = objects.key_of(new or old or {})
        parsed = parse(new).object if new else None
        place = (key.namespace, key.name)
        if isinstance(parsed, SandboxTemplate):
            self._templates[place] = template_identity(parsed).labels
        else:
            self._templates.pop(place, None)
        self._touch()

    def _pod(self, old: Raw | None, new: Raw | None) -> None:
        key = objects.key_of(new or old or {})
        before = self._pods.pop(key, None)
        if new and (addresses := addresses_of(new)):
            labels = tuple(sorted(objects.labels(new).items()))
            self._pods[key] = Pod(namespace=key.namespace, name=key.name, labels=labels), addresses
        if self._pods.get(key) != before:
            self._touch()

    def _space(self, opted_in: OptedIn, old: Raw | None, new: Raw | None) -> None:
        name = objects.key_of(new or old or {}).name
        if new:
            opted_in.add(name)
        else:
            opted_in.remove(name)
        self._touch()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is in force, and what it names."""

    profiles: tuple[Profile, ...]
    secrets: frozenset[Key]
    config_maps: frozenset[Key]


def look(book: ProfileBook, opted_in: list[str]) -> Found:
    profiles = book.in_force_of(book.namespaces)
    return Found(profiles=profiles, secrets=secrets_named(profiles, opted_in), config_maps=config_maps_named(profiles))


def packed(raw: Raw) -> Raw:
    """As text a profile takes a tenth of what it takes as dicts, and once it is compiled nothing of it but its head."""
    head = objects.metadata(raw)
    kept = {name: head[name] for name in HEAD if name in head}
    if "namespace" in kept:
        kept["namespace"] = once(kept["namespace"])
    if "annotations" in kept:
        kept["annotations"] = our_annotations(raw)
    return {**{name: once(raw.get(name)) for name in ("apiVersion", "kind")}, "metadata": kept, SPEC: json.dumps(raw.get("spec"))}


def once(text: object) -> object:
    """What all objects of a kind say."""
    return intern(text) if isinstance(text, str) else text


def unpack(raw: Raw) -> Raw:
    """As it came; the text is gone then."""
    spec = json.loads(raw.pop(SPEC))
    return {**raw, "spec": spec}


def lean(sharing: Sharing) -> Callable[[Version], Version]:
    """What it was compiled from is the controller's to keep."""
    return lambda version: replace(version, source=NOTHING, profile=sharing.profile(version.profile))


def settled(name: str, informer: Informer) -> bool:
    return informer.has_synced or (name == "templates" and isinstance(informer.last_error, Forbidden | NotFound))


def pod_without_spec(raw: Raw) -> Raw:
    head, status = objects.metadata(raw), raw.get("status")
    known = status if isinstance(status, dict) else {}
    kept = {name: head[name] for name in ("name", "namespace", "uid", "resourceVersion", "labels") if name in head}
    return {
        "metadata": kept,
        "status": {name: known.get(name) for name in ("podIPs", "podIP", "phase")},
        "spec": {"hostNetwork": shared(raw)},
    }


def shared(raw: Raw) -> bool:
    spec = raw.get("spec")
    return bool(isinstance(spec, dict) and spec.get("hostNetwork"))


def addresses_of(raw: Raw) -> tuple[str, ...]:
    """None of a pod that has ended, whose address may be another's, or that shares its node's."""
    status = raw.get("status")
    if not isinstance(status, dict) or status.get("phase") in ENDED or shared(raw):
        return ()
    listed = status.get("podIPs")
    found = [each.get("ip") for each in listed if isinstance(each, dict)] if isinstance(listed, list) else [status.get("podIP")]
    return tuple(address for address in found if isinstance(address, str) and address)


def by_address(pods: Mapping[Key, tuple[Pod, tuple[str, ...]]]) -> dict[str, Pod]:
    """An address that two pods claim is nobody's."""
    found: dict[str, Pod] = {}
    twice: set[str] = set()
    for pod, addresses in pods.values():
        for address in addresses:
            if address in found:
                twice.add(address)
            found[address] = pod
    return {address: pod for address, pod in found.items() if address not in twice}
