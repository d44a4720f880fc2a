"""The credentials that a request wants from providers: asked for at once, each within its time, none of them said aloud.

In: the machine that wants them. Out: by rule id what was issued, or None. A sandbox without a token has nothing to ask with:
that is a failure like any other, and the rule's failStrategy says what follows (the systems before this one forwarded).
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

from extproc.parameters import Unknowable, parameters
from extproc.providers.cache import CachedProvider
from extproc.providers.seam import ProviderError, ProviderRequest
from extproc.stream import Machine
from policy.program import ProviderRef, Rule
from policy.variables import PodFacts, before

log = logging.getLogger(__name__)

Issued = Mapping[str, Mapping[str, str] | None]


class Failed(Protocol):
    def __call__(self, reason: str) -> None: ...


class Issuer:
    """`provider` is None where none is configured. `failed` is told the reason, a fixed word."""

    def __init__(self, provider: CachedProvider | None, *, deadline: float, failed: Failed) -> None:
        self._provider = provider
        self._deadline = deadline
        self._failed = failed

    async def issue(self, machine: Machine, rules: Sequence[Rule]) -> Issued:
        if len(rules) == 1:
            return {rules[0].id: await self._one(machine, rules[0])}
        async with asyncio.TaskGroup() as group:
            tasks = {rule.id: group.create_task(self._one(machine, rule)) for rule in rules}
        return {name: task.result() for name, task in tasks.items()}

    async def _one(self, machine: Machine, rule: Rule) -> Mapping[str, str] | None:
        try:
            ask = question(machine, rule)
        except Unknowable:
            self._failed("parameter")
            return None
        if ask is None or self._provider is None:
            self._failed("no-token" if ask is None else "no-provider")
            return None
        try:
            answer = await self._provider.fetch(ask, deadline=self._deadline)
            machine.on_unauthorized.append(partial(self._provider.invalidate, ask, answer))
        except ProviderError as error:
            self._failed(error.reason.value)
            return None
        return answer.values


def question(machine: Machine, rule: Rule) -> ProviderRequest | None:
    """None where the sandbox shows no token. Raises Unknowable."""
    caller, exchange, request = machine.caller, rule.exchange, machine.known_request
    if exchange is None or not isinstance(exchange.source, ProviderRef) or caller.token is None:
        return None
    told: Mapping[str, object] = {}
    if exchange.source.parameters:
        pod = PodFacts(namespace=caller.identity.namespace, name=caller.pod, ip=caller.address, labels=caller.identity.labels)
        told = parameters(exchange.source, before(request, pod, rule, machine.view.inputs.get(rule.profile, {})))
    return ProviderRequest(
        provider=exchange.source.name,
        resource_id=caller.token.client_id,
        access_token=caller.token.access_token,
        caller=caller.name,
        parameters=told,
        keys=exchange.form.keys,
    )
