"""What is said of an object that somebody else changes as often as we do: a Warning on the template or profile that it is about.

In comes what `pace` counted, out goes an Event. Who the other is stands in the object's managed fields, where people can look.
"""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Literal

from controller.dispatch import OWNED_SUFFIXES
from controller.pace import BURST, INTERVAL
from controller.setbacks import CONTESTED
from kube.objects import Key, Raw, Resource
from kube.store import Store
from policy.program import ProfileRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Contests:
    """`profiles` are by kind; `tell` makes an Event: object, type, reason, note."""

    templates: Store
    profiles: Mapping[str, Store]
    tell: Callable[[Raw, Literal["Warning"], str, str], None]

    def __call__(self, item: Hashable) -> None:
        raw, what = self._about(item)
        if raw is not None:
            often = f"{BURST / (INTERVAL * BURST):g} times a second"
            self.tell(
                raw, "Warning", CONTESTED, f"{what} was written {often} for some time: another writer undoes it; its managedFields say who"
            )

    def _about(self, item: Hashable) -> tuple[Raw | None, str]:
        match item:
            case ProfileRef():
                return self.profiles[item.kind].get(Key(item.namespace, item.name)), "its status"
            case (Resource() as resource, Key() as key):
                return self._owner(key), f"{resource.kind} {key.name}"
        return None, ""

    def _owner(self, key: Key) -> Raw | None:
        """The template of that name, or the one after which an object is named."""
        names = (key.name, *(key.name.removesuffix(suffix) for suffix in OWNED_SUFFIXES if key.name.endswith(suffix)))
        return next((raw for name in names if (raw := self.templates.get(Key(key.namespace, name)))), None)
