"""The smallest program and request that still differ: whatever can be left out is, one piece after the other.

Each round makes every way to leave one piece out and tries them all in one Envoy; the first that still differs goes on.
"""

import io
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

from ruamel.yaml import YAML

from e2e.differential.client import Sent
from e2e.differential.compare import differences
from e2e.differential.generator import Manifest
from e2e.differential.program import InvalidProgramError, Program, build
from e2e.differential.runner import Case, Difference, World

OPTIONAL = frozenset({"paths", "methods", "ports", "schemes", "headers", "queryParams", "statusCode", "body", "priority", "annotations",
                      "failStrategy", "when", "defaultAction", "unsupportedVersionAction", "denyResponse", "toolNames", "set", "remove",
                      "audit", "bypass", "block", "mcpToolPolicy", "headerManipulation", "tokenTransformation"})  # fmt: skip
ROUNDS = 200


def minimised(world: World, difference: Difference) -> Difference:
    current = difference
    for _ in range(ROUNDS):
        smaller = next(still_different(world, current), None)
        if smaller is None:
            return current
        current = smaller
    return current


def still_different(world: World, difference: Difference) -> Iterator[Difference]:
    case = difference.case
    candidates = [Case(program=program, sent=case.sent, way=case.way) for program in smaller_programs(case.program)]
    candidates += [Case(program=case.program, sent=sent, way=case.way) for sent in smaller_requests(case.sent)]
    for first in range(0, len(candidates), 40):
        portion = candidates[first : first + 40]
        for tried, wanted, answer, received in world.run([each.program for each in portion], [[each.sent] for each in portion], [case.way]):
            found = tuple(differences(wanted, tried.sent, answer, received))
            smaller = Difference(case=tried, expected=wanted, answer=answer, found=found)
            if found and same_kind(smaller, difference):
                yield smaller
                return


def same_kind(one: Difference, other: Difference) -> bool:
    """Whether it is still the same difference, and not another one that was hidden behind it."""
    first = [(each.expected.outcome, each.answer.status, each.answer.connect, each.found[0][:20]) for each in (one, other)]
    return first[0] == first[1]


def smaller_programs(program: Program) -> Iterator[Program]:
    for manifests in without_one([each for each in program.manifests if each["kind"] != "Secret"]):
        try:
            yield build([*(each for each in program.manifests if each["kind"] == "Secret"), *manifests])
        except InvalidProgramError:
            continue


def without_one(tree: Any) -> Iterator[Any]:
    """Every tree that lacks one item of a list or one optional field."""
    if isinstance(tree, list):
        for at in range(len(tree)):
            if len(tree) > 1:
                yield tree[:at] + tree[at + 1 :]
        for at, item in enumerate(tree):
            yield from ([*tree[:at], smaller, *tree[at + 1 :]] for smaller in without_one(item))
    elif isinstance(tree, dict):
        for key in tree:
            if key in OPTIONAL:
                yield {other: value for other, value in tree.items() if other != key}
        for key, value in tree.items():
            yield from ({**tree, key: smaller} for smaller in without_one(value))


def smaller_requests(sent: Sent) -> Iterator[Sent]:
    raw = sent.raw
    for at in range(len(raw.headers)):
        if raw.headers[at][0] not in {"content-length", "transfer-encoding"}:
            yield replace(sent, raw=replace(raw, headers=raw.headers[:at] + raw.headers[at + 1 :]))
    path, mark, query = raw.path.partition("?")
    if mark:
        pieces = query.split("&")
        for at in range(len(pieces)):
            rest = "&".join(pieces[:at] + pieces[at + 1 :])
            yield replace(sent, raw=replace(raw, path=f"{path}?{rest}" if rest else path))
    if raw.body:
        headers = tuple(pair for pair in raw.headers if pair[0] not in {"content-length", "transfer-encoding"})
        yield replace(sent, chunked=False, raw=replace(raw, body=b"", headers=headers))
    if raw.method != "GET":
        yield replace(sent, raw=replace(raw, method="GET"))


def reproducer(difference: Difference) -> str:
    """The difference as a person can replay it."""
    used = [each for each in difference.case.program.manifests if each["kind"] != "Secret"]
    lines = [
        "--- program",
        as_yaml(used),
        "--- request",
        str(difference.case.sent),
        f"--- difference ({difference.case.way.value})",
        *difference.found,
    ]
    return "\n".join([*lines, f"expected: {difference.expected.outcome} {difference.expected.status}"])


def as_yaml(manifests: list[Manifest]) -> str:
    stream = io.StringIO()
    YAML().dump_all(deepcopy(manifests), stream)
    return stream.getvalue()
