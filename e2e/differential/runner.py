"""Runs programs and requests in batches, counts what was covered, and stops at differences.

The seed makes everything: the same seed and numbers give the same programs and requests.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from random import Random

from dataplane import certificates
from dataplane.clusters import ROOTS_FILE
from e2e.differential import generator, network
from e2e.differential.batch import NOW, Place, Way, running
from e2e.differential.client import Answer, Sent, send
from e2e.differential.compare import differences
from e2e.differential.expectation import Expected, expected
from e2e.differential.program import Program, build
from e2e.differential.requests import requests_for
from e2e.differential.upstream import Received, Upstream, resolver
from e2e.differential.vocabulary import ADDRESSES, PORTS
from policy.domains import DomainPattern
from policy.program import Match, Rule

BATCH = 50
SMALL_BATCH = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One program and one request, and the way that it takes."""

    program: Program
    sent: Sent
    way: Way = Way.NATIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    case: Case
    expected: Expected
    answer: Answer
    found: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Tally:
    """`cells` counts requests in which a rule with this action and this kind of condition held, by transport."""

    programs: int = 0
    requests: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    cells: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def add(self, case: Case, outcome: Expected) -> None:
        """A request that went two ways is one."""
        if case.way is not Way.NATIVE:
            return
        sent = case.sent
        self.requests += 1
        self.outcomes[outcome.outcome] += 1
        found = {(action, kind) for rule, entries in outcome.used for action in actions(rule) for entry in entries for kind in kinds(entry)}
        self.cells.update((action, kind, sent.transport.value) for action, kind in found)


Ran = tuple[Case, Expected, Answer, list[Received]]


@dataclass(slots=True, kw_only=True)
class World:
    """Network, upstream and certificates of one run."""

    place: Place
    upstream: Upstream

    def run(self, programs: Sequence[Program], requests: Sequence[Sequence[Sent]], ways: Sequence[Way] = tuple(Way)) -> Iterator[Ran]:
        """Each program's requests, through one Envoy, in every one of these ways."""
        with running(programs, self.place, ways) as ports:
            for program, listening, sents in zip(programs, ports, requests, strict=True):
                for sent, (way, port) in product(sents, listening.items()):
                    self.upstream.take()
                    answer = send(port, sent)
                    yield Case(program=program, sent=sent, way=way), expected(program, sent), answer, self.upstream.take()


@contextmanager
def world(transport: str = "h2corn") -> Iterator[World]:
    network.bring_up()
    with tempfile.TemporaryDirectory(prefix="differential-") as name:
        directory = Path(name)
        outside = certificates.make_ca(now=NOW, name="The world")

        def pem(server_name: str) -> Path:
            path = directory / f"upstream-{server_name or 'address'}.pem"
            if not path.exists():
                leaf = certificates.make_leaf(outside, (server_name,) if server_name else ADDRESSES, now=NOW)
                path.write_text(leaf.cert_pem + leaf.key_pem, encoding="utf-8")
            return path

        (directory / ROOTS_FILE).write_text(outside.cert_pem, encoding="utf-8")
        place = Place(
            directory=directory,
            resolver=("127.0.0.1", resolver()),
            authority=certificates.make_ca(now=NOW, name="Groyne"),
            transport=transport,
        )
        yield World(place=place, upstream=Upstream(PORTS, pem))


def generated(seed: int, number: int, requests: int) -> tuple[Program, list[Sent]]:
    random = Random(f"{seed}/{number}")
    program = build(generator.program(random))
    return program, requests_for(random, program.selection, program.plan, requests)


def explore(world: World, seed: int, programs: range, requests: int, tally: Tally, batch: int = BATCH) -> Iterator[Difference]:
    for first in range(programs.start, programs.stop, batch):
        made = [generated(seed, number, requests) for number in range(first, min(first + batch, programs.stop))]
        tally.programs += len(made)
        found = []
        for case, wanted, answer, received in world.run([program for program, _ in made], [sents for _, sents in made]):
            tally.add(case, wanted)
            if words := differences(wanted, case.sent, answer, received):
                found.append(Difference(case=case, expected=wanted, answer=answer, found=tuple(words)))
        yield from found


def first_difference(world: World, seed: int, programs: int, requests: int) -> int | None:
    """How many programs it took, None where there was no difference."""
    tally = Tally()
    found = next(explore(world, seed, range(programs), requests, tally, SMALL_BATCH), None)
    return tally.programs if found else None


def actions(rule: Rule) -> Iterator[str]:
    present = {
        "bypass": rule.bypass,
        "block": rule.block,
        "mcp": rule.mcp,
        "headers": rule.headers,
        "token": rule.token or rule.exchange,
        "issued": rule.exchange,
        "told": rule.audit,
    }
    yield from (name for name, value in present.items() if value)


def kinds(entry: Match) -> Iterator[str]:
    yield from {domain_kind(domain) for domain in entry.domains}
    yield from {f"path {path.match.kind}" for path in entry.paths}
    yield from {f"header {header.match.kind}" for header in entry.headers}
    yield from {f"query {parameter.match.kind}" for parameter in entry.query}
    yield from (name for name, value in (("method", entry.methods), ("port", entry.ports), ("scheme", entry.schemes)) if value)


def domain_kind(domain: DomainPattern) -> str:
    return "any host" if domain.is_any else "wildcard" if domain.is_wildcard else "address" if domain.is_ip else "host"
