"""docs/providers.md says the words that are there, and its example of another provider works."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from extproc.providers import seam
from extproc.providers.cache import CachedProvider
from extproc.providers.seam import ALIYUN_STS, API_KEY, Failure, ProviderError
from extproc.settings import Settings
from policy.aliyun import Why
from unit_tests.extproc.providers.asks import Counted, ask
from unit_tests.kube.virtual import run

PAGE = (Path(__file__).parents[3] / "docs" / "providers.md").read_text()


@pytest.mark.parametrize("word", [*Failure, *Why, *API_KEY, *ALIYUN_STS, "hit", "miss", "shared", "held", "refresh", "dropped"])
def test_every_word_is_explained(word: str) -> None:
    assert f"`{word}`" in PAGE


def test_every_flag_of_providers_is_there_and_no_other() -> None:
    flags = {f"--{name.replace('_', '-')}" for name in Settings.model_fields if name.startswith("provider_")}
    assert set(re.findall(r"`(--provider[a-z-]*)`", PAGE)) == flags


def test_the_example_of_another_provider_works_behind_the_memory(tmp_path: Path) -> None:
    code = next(block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "class FileProvider" in block)
    names: dict[str, Any] = {**vars(seam), "Path": Path, "json": json}
    exec(code, names)  # noqa: S102 — the page's own
    (tmp_path / "keys.json").write_text('{"openai": {"apiKey": "k"}}')

    async def asking() -> None:
        async with CachedProvider(names["FileProvider"](tmp_path / "keys.json"), observer=Counted()) as cache:
            assert (await cache.fetch(ask(), deadline=1)).values == {"apiKey": "k"}
            with pytest.raises(ProviderError):
                await cache.fetch(ask(provider="other"), deadline=1)

    run(asking())
