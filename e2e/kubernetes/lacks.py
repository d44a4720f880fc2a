"""What a test does where the machine lacks something: it is skipped in those words, or fails with them where $E2E_MUST_RUN is set.

CI sets it where it may install what lacks. There a suite that skips itself would be green and would have shown nothing.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from e2e.cluster.missing import Missing

MUST_RUN = "E2E_MUST_RUN"


@contextmanager
def or_skip() -> Iterator[None]:
    try:
        yield
    except Missing as lack:
        if os.environ.get(MUST_RUN):
            raise
        pytest.skip(str(lack))
