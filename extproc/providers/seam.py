"""What stands between ext-proc and whoever issues credentials: a question, an answer, a failure, one coroutine.

A new kind of provider is one module that has `fetch`. It need not remember anything (`cache` does), it must not log or raise
what it was told, and it answers within the deadline or raises. Nothing here does I/O.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

API_KEY = ("apiKey",)
ALIYUN_STS = ("accessKeyId", "accessKeySecret", "securityToken")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRequest:
    """Which credential, for whom. `parameters` are values that JSON can say.

    `caller` is whose request it is (namespace and pod, or template); `access_token` is what the sandbox proves it with.
    `keys` are the values that the answer must have: `API_KEY` or `ALIYUN_STS`.
    """

    provider: str
    resource_id: str
    access_token: str = field(repr=False)
    caller: str
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)
    keys: tuple[str, ...] = API_KEY


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderAnswer:
    """`values` by key, as Latin-1 text that a header may hold. `expires_at` in the event loop's time; None: nothing was said of it."""

    values: Mapping[str, str] = field(repr=False)
    expires_at: float | None = None


class Failure(StrEnum):
    """Why there is no credential. The words are labels of a metric: there are no others."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    STATUS = "status"
    TOO_LARGE = "too-large"
    INVALID = "invalid"
    EXPIRED = "expired"
    QUESTION = "question"
    """What is asked cannot be asked: a token that no header can hold, a parameter that JSON cannot say."""
    CLOSED = "closed"
    INTERNAL = "internal"


class ProviderError(Exception):
    """No credential. The text is the reason's word, and never what a provider said or was told."""

    def __init__(self, reason: Failure) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Provider(Protocol):
    async def fetch(self, ask: ProviderRequest, *, deadline: float) -> ProviderAnswer:
        """Within `deadline` seconds. Raises `ProviderError` and nothing else."""
        ...
