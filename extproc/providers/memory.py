"""What is remembered of questions: the least recently used goes first, and what has ended is not there.

Keys are digests, so that no access token stays here. Time comes in with every call. It knows nothing of providers' ways.
"""

from collections import OrderedDict
from dataclasses import dataclass

from extproc.providers.seam import Failure, ProviderAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An answer, or why there was none; from `refresh_at` on it is asked for anew while this one still serves."""

    said: ProviderAnswer | Failure
    fetched_at: float
    refresh_at: float
    until: float


class Memory:
    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()

    def __len__(self) -> int:
        """With those that have ended and that nobody asked for since."""
        return len(self._kept)

    def get(self, key: bytes, now: float) -> Kept | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if now >= kept.until:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return kept

    def put(self, key: bytes, kept: Kept) -> None:
        self._kept[key] = kept
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def drop(self, key: bytes) -> None:
        self._kept.pop(key, None)
