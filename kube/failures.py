"""Says of an exception what class it is and where it was raised, and never its text, which may hold what an object says."""

import traceback
from pathlib import PurePath


def where(error: BaseException) -> str:
    """E.g. `KeyError at book.py:34`."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
