"""A provider whose every answer is scripted, on virtual time; it writes down what it was asked, when, and who left."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from extproc.providers.seam import Failure, ProviderAnswer, ProviderError, ProviderRequest


@dataclass
class Says:
    """After `delay` seconds: an answer with this life (None: nothing is said of it), a failure, or an exception."""

    delay: float = 0.0
    life: float | None = None
    failure: Failure | BaseException | None = None


@dataclass
class Scripted:
    """Values tell for whom and when they were made, so that a mix-up shows."""

    says: Callable[[ProviderRequest, int], Says] = lambda ask, nth: Says()
    calls: list[tuple[float, ProviderRequest]] = field(default_factory=list)
    answered: list[ProviderAnswer] = field(default_factory=list)

    async def fetch(self, ask: ProviderRequest, *, deadline: float) -> ProviderAnswer:
        loop = asyncio.get_running_loop()
        self.calls.append((loop.time(), ask))
        nth = len(self.calls)
        says = self.says(ask, nth)
        try:
            async with asyncio.timeout(deadline):
                await asyncio.sleep(says.delay)
        except TimeoutError:
            raise ProviderError(Failure.TIMEOUT) from None
        if isinstance(says.failure, Failure):
            raise ProviderError(says.failure)
        if says.failure:
            raise says.failure
        expires_at = None if says.life is None else loop.time() + says.life
        answer = ProviderAnswer(values={"apiKey": value_of(ask, nth)}, expires_at=expires_at)
        self.answered.append(answer)
        return answer


def value_of(ask: ProviderRequest, nth: int) -> str:
    return f"{ask.provider}/{ask.resource_id}/{ask.access_token}/{ask.caller}/{dict(ask.parameters)}/{ask.keys}#{nth}"
