"""What another process will have done in a moment: asked for again and again, since there is nobody who could say so."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 30.0
BEAT = 0.05


def until(holds: Callable[[], Any], what: str | Callable[[], str] = "as awaited", patience: float = PATIENCE) -> Any:
    """What `holds` gives as soon as that is true. `what` is said where it does not come true in so many seconds."""
    end = time.monotonic() + patience
    while True:
        found = holds()
        if found:
            return found
        assert time.monotonic() < end, f"not within {patience:g} s: {what if isinstance(what, str) else what()}"
        time.sleep(BEAT)
