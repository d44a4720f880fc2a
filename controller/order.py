"""OrderSensitive warnings of one namespace's profiles, some time after an edit: nobody waits for them, and they take a while."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from controller.profile_reconciler import OrderWarnings
from daemon.profile_book import ProfileBook
from kube.reconcile import Result
from policy.order import order_sensitive
from policy.program import ProfileRef


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderReconciler:
    """A reconcile function, by namespace; "" are the Global profiles, which concern all."""

    profiles: ProfileBook
    warnings: OrderWarnings
    changed: Callable[[frozenset[ProfileRef]], None]

    async def __call__(self, namespace: str) -> Result:
        for each in (namespace, *(self.profiles.namespaces if namespace == "" else ())):
            together = self.profiles.in_force_of(("", each))
            found = await asyncio.to_thread(order_sensitive, together)
            self.changed(self.warnings.put(each, {ref: problems for ref, problems in found.items() if ref.namespace == each}))
        return Result()
