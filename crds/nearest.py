"""The word that was probably meant. Long words are left alone: comparing them is slow, and nobody mistypes a novel."""

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST = 80


def nearest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known word closest to `word`, case aside."""
    if len(word) > _LONGEST:
        return None
    by_lower = {name.lower().replace("_", "").replace("-", ""): name for name in sorted(known)}
    close = get_close_matches(word.lower().replace("_", "").replace("-", ""), by_lower, n=1, cutoff=cutoff)
    return by_lower[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A clause to append to a message; empty where nothing is close."""
    best = nearest(word, known)
    return f": did you mean `{best}`?" if best else ""
