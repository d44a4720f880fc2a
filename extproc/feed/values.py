"""Secrets and ConfigMaps that profiles name, read by name where their namespace has opted in.

In: the profiles in force. Out: what could be read, by namespace and name. What is gone or may not be read is not there, at
once; what could not be read just now stays as it was last, and is asked for again.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping

from daemon.kinds import CONFIG_MAPS
from daemon.secret_reader import Access, NotReadableYet, SecretReader
from extproc.snapshot import NamedIn, SecretData
from kube.client import Client
from kube.errors import ApiError, Forbidden, NotFound
from kube.objects import Key
from policy.program import Profile

AT_ONCE = 16
"""Calls side by side."""

log = logging.getLogger(__name__)


def secrets_named(profiles: Iterable[Profile], namespaces: Iterable[str]) -> frozenset[Key]:
    """A Global profile that names no namespace reads the pod's: any that opted in."""
    spaces = tuple(namespaces)
    found: set[Key] = set()
    for profile in profiles:
        for rule in profile.rules:
            if rule.secret is not None:
                own = (rule.secret.namespace,) if rule.secret.namespace is not None else spaces
                found |= {Key(namespace, rule.secret.name) for namespace in own}
    return frozenset(found)


def config_maps_named(profiles: Iterable[Profile]) -> frozenset[Key]:
    refs = (each.config_map for profile in profiles for each in profile.inputs if each.config_map)
    return frozenset(Key(ref.namespace, ref.name) for ref in refs)


class Values:
    """`again` is called where something could not be read now."""

    def __init__(self, client: Client, secrets: SecretReader, *, again: Callable[[], None]) -> None:
        self._client, self._secrets, self._again = client, secrets, again
        self._kept_secrets: dict[Key, SecretData] = {}
        self._kept_maps: dict[Key, Mapping[str, str]] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def secrets(self, keys: Iterable[Key]) -> dict[NamedIn, SecretData]:
        wanted = sorted(keys)
        read = await asyncio.gather(*(self._secret(key) for key in wanted))
        self._kept_secrets = {key: found for key, found in zip(wanted, read, strict=True) if found is not None}
        return {(key.namespace, key.name): found for key, found in self._kept_secrets.items()}

    async def config_maps(self, keys: Iterable[Key]) -> dict[NamedIn, Mapping[str, str]]:
        wanted = sorted(keys)
        read = await asyncio.gather(*(self._config_map(key) for key in wanted))
        self._kept_maps = {key: found for key, found in zip(wanted, read, strict=True) if found is not None}
        return {(key.namespace, key.name): found for key, found in self._kept_maps.items()}

    async def _secret(self, key: Key) -> SecretData | None:
        access = self._secrets.access(key.namespace)
        if access is Access.CLOSED:
            # It may have been under way when the namespace closed.
            self._secrets.forget(key)
            return None
        async with self._slots:
            try:
                if access is Access.UNKNOWN:
                    raise NotReadableYet(f"the Secrets of namespace {key.namespace} are not listed yet")
                found = await self._secrets.read(key)
            except ApiError as error:
                self._failed(key, error)
                return self._kept_secrets.get(key)
        return SecretData(data=found.values, annotations=found.annotations) if found else None

    async def _config_map(self, key: Key) -> Mapping[str, str] | None:
        if self._secrets.access(key.namespace) is Access.CLOSED:
            return None
        async with self._slots:
            try:
                data = (await self._client.get(CONFIG_MAPS, key)).get("data")
            except (NotFound, Forbidden):
                return None
            except ApiError as error:
                self._failed(key, error)
                return self._kept_maps.get(key)
        return {name: text for name, text in data.items() if isinstance(text, str)} if isinstance(data, dict) else {}

    def _failed(self, key: Key, error: ApiError) -> None:
        if not isinstance(error, NotReadableYet):
            log.warning("a value cannot be read now", extra={"object": str(key), "why": str(error)})
        self._again()
