"""Objects as nobody should write them: good ones with one thing wrong, by a seed, so that what breaks can be done again.

In comes a good object, out go copies with a value of the wrong type, a null, a name that is none, an empty or enormous list, deep nesting,
unknown words. Names, namespaces and kinds stay: the API server itself sees to these.
"""

import copy
from collections.abc import Iterator
from random import Random
from typing import Any

Raw = dict[str, Any]
Place = tuple[Any, ...]
WORDS = (
    "",
    " ",
    "x" * 300,
    "a..b",
    "*",
    "*.*",
    "-",
    "None",
    "\u0000",
    "\u202e",
    "\U0001d54f",
    "{{",
    "{{ .Token }}",
    "[",
    "(?=x)",
    "\r\n",
    "/",
    "%zz",
    "9" * 40,
)
DEPTH = 60


def values(random: Random) -> list[Any]:
    deep: Any = "end"
    for _ in range(DEPTH):
        deep = {"deep": deep} if random.random() < 0.5 else [deep]
    plain: list[Any] = [None, True, False, 0, -1, 65536, 2**53, 1.5, [], {}, [None], {"": ""}, [[]], [{}], deep]
    return [*plain, {"name": None}, ["x"] * 1000, {f"k{number}": number for number in range(300)}, *WORDS]


def mutations(good: Raw, random: Random) -> Iterator[Raw]:
    """Without end, one change each; below `spec`, now and then `spec` itself."""
    while True:
        made = copy.deepcopy(good)
        places = list(_places(made["spec"], ("spec",)))
        place = random.choice([("spec",), *places, *places, *places])
        _change(made, place, random)
        yield made


def _places(value: Any, place: Place) -> Iterator[Place]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*place, key)
        yield from _places(each, (*place, key))


def _change(raw: Raw, place: Place, random: Random) -> None:
    holder: Any = raw
    for key in place[:-1]:
        holder = holder[key]
    key = place[-1]
    way = random.randrange(6)
    if way == 0 and len(place) > 1:
        del holder[key]
    elif way == 1 and isinstance(holder, dict):
        holder[random.choice([f"{key}x", str(key).upper(), "", "unknown"])] = random.choice(values(random))
    elif way == 2 and isinstance(holder, list):
        holder.extend(copy.deepcopy(holder[key]) for _ in range(random.choice([1, 40])))
    else:
        holder[key] = random.choice(values(random))


def permissive(definition: Raw) -> Raw:
    """A CustomResourceDefinition under which anything may be written."""
    spec = copy.deepcopy(definition["spec"])
    spec.pop("conversion", None)
    for version in spec["versions"]:
        version["schema"] = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        version["additionalPrinterColumns"] = []
    name = definition["metadata"]["name"]
    return {"apiVersion": definition["apiVersion"], "kind": definition["kind"], "metadata": {"name": name}, "spec": spec}
