"""A directory for a while, removed at its end; and where a run was killed before its end, by the next one.

Its name says whose it is: `groyne-PURPOSE-PID-…` in the machine's directory for such things.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def workplace(purpose: str) -> Iterator[Path]:
    prefix = f"groyne-{purpose}-"
    for left in _left_behind(prefix):
        shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _left_behind(prefix: str) -> Iterator[Path]:
    for path in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        owner = re.match(r"(\d+)-", path.name.removeprefix(prefix))
        if owner and not Path(f"/proc/{owner[1]}").exists():
            yield path
