"""Manifests → what both sides are given: a selection with its plan, and the credentials that have a value.

The whole way that a user's file takes is taken: `crds.parse`, then `policy.compile_program`. A generated program with a
problem is a mistake of the generator, or of them, and stops the run.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from crds import GlobalSecurityProfile, SecurityProfile, parse
from dataplane.compile import Plan, make_plan
from e2e.differential.generator import Manifest
from policy.compile import compile_program
from policy.patterns import wire
from policy.program import Engine, Identity, SecretKeyRef, Selection
from policy.program import Program as Compiled


class InvalidProgramError(Exception):
    """A generated program that does not compile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    manifests: tuple[Manifest, ...]
    policy: Compiled
    selection: Selection
    plan: Plan
    credentials: dict[SecretKeyRef, str]


def build(manifests: Sequence[Manifest]) -> Program:
    profiles = []
    credentials = {}
    for manifest in manifests:
        if manifest["kind"] == "Secret":
            metadata = manifest["metadata"]
            for key, value in manifest["stringData"].items():
                credentials[SecretKeyRef(namespace=metadata["namespace"], name=metadata["name"], key=key)] = wire(value)
            continue
        parsed = parse(manifest)
        if not isinstance(parsed.object, SecurityProfile | GlobalSecurityProfile):
            raise InvalidProgramError(f"{manifest} does not parse: {parsed.problems}")
        profiles.append(parsed.object)
    result = compile_program(profiles, engines=frozenset(Engine))
    fatal = [problem for problems in result.problems.values() for problem in problems if problem.fatal]
    if fatal:
        raise InvalidProgramError(f"{manifests} does not compile: {fatal}")
    selection = result.program.select(Identity(namespace="default"))
    return Program(
        manifests=tuple(manifests),
        policy=result.program,
        selection=selection,
        plan=make_plan(selection),
        credentials=credentials,
    )
