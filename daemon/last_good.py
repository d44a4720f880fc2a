"""After a restart: the last good versions of profiles that do not compile, out of the unified Secrets that were made from them.

What pods run is what the Secrets say, so they are where it is kept: no object more, nothing that could disagree, and nothing to be read
where every profile compiles. No Secret of a namespace is written before those that are there were read: written without the profile,
they would have nothing to keep any more.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from crds.annotations import OUR_LABELS
from daemon.kinds import SECRETS
from daemon.opted_in import EVERYWHERE
from daemon.profile_book import Change, ProfileBook, Version, version_from
from daemon.secret_reader import values_of
from kube.client import Client, Page
from kube.errors import ApiError
from kube.objects import Raw
from kube.paging import all_pages
from policy.program import ProfileRef

log = logging.getLogger(__name__)

PROFILES_KEY = "profiles.json"
"""Of a template's Secret: what its files were made from."""
PAGE = 20
SELECTOR = ",".join(f"{key}={value}" for key, value in OUR_LABELS.items())


@dataclass(slots=True, kw_only=True)
class LastGood:
    """`changed` hears of each profile that goes on as it was."""

    client: Client
    profiles: ProfileBook
    changed: Callable[[Change], None]
    _asked: set[str] = field(default_factory=set)
    _asking: dict[str, asyncio.Lock] = field(default_factory=dict)

    async def restore(self, namespaces: Iterable[str]) -> None:
        """What cannot be read now is asked for again by `ensure`."""
        for namespace in namespaces:
            try:
                await self.ensure(namespace)
            except ApiError as error:
                log.warning("last good versions cannot be read yet: %s", error)

    async def ensure(self, namespace: str) -> None:
        """Once in a process: whatever stops compiling later was in force before. Raises ApiError where the Secrets cannot be read."""
        async with self._asking.setdefault(namespace, asyncio.Lock()):
            if self._asked & {namespace, EVERYWHERE}:
                return
            lacking = self.profiles.lacking(namespace)
            if lacking:
                await self._from_secrets(namespace, lacking)
            self._asked.add(namespace)

    async def _from_secrets(self, namespace: str, lacking: frozenset[ProfileRef]) -> None:
        async def ask(token: str) -> Page:
            return await self.client.list_page(SECRETS, namespace=namespace, label_selector=SELECTOR, limit=PAGE, continue_=token)

        found: set[ProfileRef] = set()
        async with aclosing(all_pages(ask)) as pages:
            async for page in pages:
                found |= {ref for raw in page.items for version in kept_versions(raw) if (ref := self._restored(version))}
                if lacking <= found:
                    return

    def _restored(self, version: Version) -> ProfileRef | None:
        """The profile, if it is the one that this was a version of."""
        entry = self.profiles.get(version.profile.ref)
        if entry is None or entry.uid != version.uid:
            return None
        change = self.profiles.restore(version)
        if change:
            log.info("goes on as it was, since it does not compile", extra={"profile": str(change.ref)})
            self.changed(change)
        return entry.ref


def kept_versions(live: Raw) -> list[Version]:
    """The profiles' versions that a Secret has kept; what cannot be read is none."""
    try:
        sources: Any = json.loads(values_of(live).get(PROFILES_KEY, b"[]"))
    except ValueError:
        return []
    found = (version_from(source) for source in (sources if isinstance(sources, list) else []))
    return [version for version in found if version]
