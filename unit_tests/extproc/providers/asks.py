"""Questions, answers and observers for the tests of providers."""

from collections import Counter
from dataclasses import replace
from typing import Any

from extproc.providers.seam import ProviderRequest

TOKEN = "sandbox-proof-3f1c"
KEY = "sk-live-never-to-be-seen"
ASK = ProviderRequest(provider="openai", resource_id="client-1", access_token=TOKEN, caller="team/pod-1")


def ask(**changes: Any) -> ProviderRequest:
    return replace(ASK, **changes)


class Counted:
    """Both observers: how often each outcome was told."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.lookups: Counter[str] = Counter()

    def fetched(self, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.outcomes[outcome] += 1

    def looked_up(self, result: str) -> None:
        self.lookups[result] += 1
