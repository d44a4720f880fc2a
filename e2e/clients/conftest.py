"""A fresh place for each client: server, policy, scratch directory."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from e2e.clients.harness import Place, place
from e2e.support.pki import Authority
from e2e.support.upstream import Answer, Answering


@pytest.fixture
def serving(world: Authority, tmp_path: Path) -> Iterator[Callable[[Answering], Place]]:
    """`serving(answer)` is a place whose server answers so."""
    with ExitStack() as stack:
        yield lambda answer: stack.enter_context(place(world, tmp_path, answer))


@pytest.fixture
def somewhere(serving: Callable[[Answering], Place]) -> Place:
    return serving(lambda _: Answer())
