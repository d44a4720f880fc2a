"""Which selectors may match which labels, found without trying all: ten thousand profiles on ten thousand templates stay linear.

A selector that demands one value of one label is filed under that label, any other under its namespace alone. Looked up are
candidates: whether one matches is decided by `LabelSelector.matches` and by nothing here.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from policy.selectors import LabelSelector, Operator

Item = TypeVar("Item", bound=Hashable)
Label = tuple[str, str]
Place = tuple[str, Label | None]


def demanded(selector: LabelSelector) -> Label | None:
    """A label that whatever is selected must have."""
    for requirement in selector.requirements:
        if requirement.operator is Operator.IN and len(requirement.values) == 1:
            return requirement.key, requirement.values[0]
    return None


class SelectorIndex(Generic[Item]):
    """Items by their namespace ("" is everywhere) and selector."""

    def __init__(self) -> None:
        self._items: defaultdict[Place, set[Item]] = defaultdict(set)
        self._places: dict[Item, Place] = {}

    def put(self, item: Item, namespace: str, selector: LabelSelector) -> None:
        self.remove(item)
        place = namespace, demanded(selector)
        self._places[item] = place
        self._items[place].add(item)

    def remove(self, item: Item) -> None:
        place = self._places.pop(item, None)
        if place is None:
            return
        self._items[place].discard(item)
        if not self._items[place]:
            del self._items[place]

    def candidates(self, namespace: str, labels: Mapping[str, str]) -> Iterator[Item]:
        for space in dict.fromkeys(("", namespace)):
            for label in (None, *labels.items()):
                yield from self._items.get((space, label), ())


class LabelIndex(Generic[Item]):
    """The other way round: items with labels, found by a selector."""

    def __init__(self) -> None:
        self._items: defaultdict[Place, set[Item]] = defaultdict(set)
        self._places: dict[Item, tuple[Place, ...]] = {}

    def put(self, item: Item, namespace: str, labels: Iterable[Label]) -> None:
        self.remove(item)
        everywhere: tuple[Place, ...] = (("", None), (namespace, None))
        found = (*everywhere, *((space, label) for label in labels for space in ("", namespace)))
        self._places[item] = found
        for place in found:
            self._items[place].add(item)

    def remove(self, item: Item) -> None:
        for place in self._places.pop(item, ()):
            self._items[place].discard(item)
            if not self._items[place]:
                del self._items[place]

    def candidates(self, namespace: str, selector: LabelSelector) -> frozenset[Item]:
        """`namespace` "" is everywhere."""
        return frozenset(self._items.get((namespace, demanded(selector)), ()))
