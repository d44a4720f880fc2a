"""What is remembered of questions: the least recently used goes first, and what has ended is not there. Nobody may fill it alone.

Keys are digests, so that no access token stays here. Time comes in with every call. It knows nothing of providers' ways.
"""

from collections import OrderedDict
from dataclasses import dataclass

from extproc.providers.seam import Failure, ProviderAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An answer, or why there was none; from `refresh_at` on it is asked for anew while this one still serves. `owner` asked for it."""

    owner: str
    said: ProviderAnswer | Failure
    fetched_at: float
    refresh_at: float
    until: float


class Memory:
    """`most` entries, of which one owner has `each` at most: who has more loses the own one that was used longest ago."""

    def __init__(self, most: int, each: int) -> None:
        self._most, self._each = most, each
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._of: dict[str, OrderedDict[bytes, None]] = {}

    def __len__(self) -> int:
        """With those that have ended and that nobody asked for since."""
        return len(self._kept)

    def get(self, key: bytes, now: float) -> Kept | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if now >= kept.until:
            self.drop(key)
            return None
        self._kept.move_to_end(key)
        self._of[kept.owner].move_to_end(key)
        return kept

    def put(self, key: bytes, kept: Kept) -> None:
        self.drop(key)
        own = self._of.setdefault(kept.owner, OrderedDict())
        self._kept[key], own[key] = kept, None
        if len(own) > self._each:
            self.drop(next(iter(own)))
        elif len(self._kept) > self._most:
            self.drop(next(iter(self._kept)))

    def drop(self, key: bytes) -> None:
        kept = self._kept.pop(key, None)
        if kept is None:
            return
        own = self._of[kept.owner]
        del own[key]
        if not own:
            del self._of[kept.owner]
