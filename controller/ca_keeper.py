"""The CA's own Secret beside a template's unified one: read before anything is made, there before anything that the CA has signed.

A CA is never replaced because it could not be read. Where the watch shows a Secret it is read, and what fails is tried again; where it
shows none, the new one is made by a POST, which is refused where the watch was late. It goes after the last leaf that it signed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from controller.compile.ownership import ours
from controller.compile.secret import UnifiedSecret
from controller.secret_writer import SecretWriter, refused
from crds.problem import Problem
from daemon.secret_reader import SecretReader, values_of
from kube import objects
from kube.objects import Key, Raw


@dataclass(frozen=True, slots=True)
class Authority:
    """As read. `mine`: it is the template's."""

    live: Raw | None
    uid: str

    @property
    def mine(self) -> bool:
        return self.live is not None and refused(self.live, self.uid) is None

    @property
    def values(self) -> Mapping[str, bytes] | None:
        return values_of(self.live) if self.live is not None and self.mine else None

    def refused(self, wanted: UnifiedSecret | None) -> Problem | None:
        """Somebody else's Secret of that name is in the way only where one is wanted."""
        return refused(self.live, self.uid) if wanted else None


@dataclass(frozen=True, slots=True)
class CaKeeper:
    secrets: SecretReader
    writer: SecretWriter

    async def read(self, key: Key, uid: str, known: str) -> Authority:
        """`known` is the version that was written last, if any. Raises ApiError."""
        there = bool(known) or self.secrets.metadata(key) is not None
        return Authority(await self.writer.read(key) if there else None, uid)

    async def bring(self, key: Key, wanted: UnifiedSecret | None, before: Authority, *, now: datetime) -> str:
        """Before the unified Secret is written. The version that is there then; "" where none is wanted. Raises ApiError, and TooSoon."""
        if wanted is None:
            return ""
        return (await self.writer.bring(key, wanted, before.live, now=now)).version

    async def clear(self, key: Key, wanted: UnifiedSecret | None, before: Authority) -> None:
        """After the unified Secret was written. Raises ApiError, and TooSoon."""
        if wanted is None and before.live is not None and before.mine:
            await self.writer.remove(key, before.live)

    def unchanged(self, key: Key, version: str) -> bool:
        """Whether the watch shows what was written, or is still behind it."""
        seen = self.secrets.metadata(key)
        return version == (objects.resource_version(seen) if seen and ours(seen) else "") or self.behind(key, version)

    def behind(self, key: Key, version: str) -> bool:
        return bool(version) and self.secrets.behind(key, version)
