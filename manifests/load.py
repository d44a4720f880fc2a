"""A directory of manifests → model objects with file and line, indexes, and everything that is wrong, located.

Nothing that a user can write makes this raise. An object counts only where it was read without a fatal problem; a problem in one
object takes no other object away. Kinds that are not ours are named and passed over: real directories hold Deployments too.
What policy finds wrong later is located the same way, by `Loaded.locate`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from crds import ConfigMap, GlobalSecurityProfile, Object, Problem, SandboxTemplate, Secret, SecurityProfile, parse
from crds.kinds import KINDS
from crds.paths import Part, split
from manifests import files
from manifests.json_nodes import read_json
from manifests.located import LocatedProblem
from manifests.places import place_of
from manifests.yaml_nodes import Budget, Document, Mistake, read_documents

DEFAULT_NAMESPACE = "default"

Progress = Callable[[int, int], None]
Name = tuple[str, str]
Raw = dict[str, Any]
T_co = TypeVar("T_co", bound=Object, covariant=True)

_OURS = frozenset(kind.name for kind in KINDS)
_CLUSTER_WIDE = frozenset(kind.name for kind in KINDS if not kind.namespaced)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One object in a file: `inside` is the path to it where its document is a List."""

    file: str
    document: Document = field(repr=False)
    inside: tuple[Part, ...] = ()
    kind: str = ""
    namespace: str = ""
    name: str = ""

    def locate(self, problem: Problem) -> LocatedProblem:
        line, column = place_of(self.document, (*self.inside, *split(problem.field)))
        return self.at(problem, line, column)

    def at(self, problem: Problem, line: int, column: int) -> LocatedProblem:
        return LocatedProblem(
            problem=problem, file=self.file, line=line, column=column, kind=self.kind, namespace=self.namespace, name=self.name
        )

    @property
    def line(self) -> int:
        return place_of(self.document, self.inside)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded(Generic[T_co]):
    """An accepted object, the dict that it was read from, and where it stands."""

    object: T_co
    raw: Raw = field(repr=False)
    source: Source

    @property
    def kind(self) -> str:
        return self.source.kind

    @property
    def namespace(self) -> str:
        """Empty for what is cluster-wide."""
        return self.source.namespace

    @property
    def name(self) -> str:
        return self.source.name

    def locate(self, problem: Problem) -> LocatedProblem:
        """A problem that was found in this object later on."""
        return self.source.locate(problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifests:
    """What a directory says. `files` are the paths that were read; indexes go by namespace and name."""

    objects: tuple[Loaded[Object], ...] = ()
    problems: tuple[LocatedProblem, ...] = ()
    files: tuple[str, ...] = ()
    profiles: Mapping[Name, Loaded[SecurityProfile | GlobalSecurityProfile]] = field(default_factory=dict)
    templates: Mapping[Name, Loaded[SandboxTemplate]] = field(default_factory=dict)
    secrets: Mapping[Name, Loaded[Secret]] = field(default_factory=dict)
    config_maps: Mapping[Name, Loaded[ConfigMap]] = field(default_factory=dict)

    @property
    def broken(self) -> bool:
        return any(located.problem.fatal for located in self.problems)


def load(path: Path, *, progress: Progress | None = None) -> Manifests:
    """Reads a directory or one file. `progress` is told how many files of how many are done."""
    found = files.find(path)
    collected = _Collected(problems=list(found.problems))
    budget, remaining = Budget(), files.MAX_TOTAL
    for done, file in enumerate(found.paths):
        if progress:
            progress(done, len(found.paths))
        text = files.read(file, remaining)
        if isinstance(text, LocatedProblem):
            collected.problems.append(text)
            continue
        remaining -= len(text.text)
        collected.read(text, budget)
        if budget.exhausted:
            break
    if progress:
        progress(len(found.paths), len(found.paths))
    return collected.manifests(tuple(map(str, found.paths)))


@dataclass(slots=True, kw_only=True)
class _Collected:
    """What has been read so far."""

    problems: list[LocatedProblem]
    objects: dict[tuple[str, str, str], Loaded[Object]] = field(default_factory=dict)

    def read(self, file: files.TextFile, budget: Budget) -> None:
        documents = read_json if file.file.lower().endswith(".json") else read_documents
        for document in documents(file.text, budget):
            self._document(file.file, document)

    def _document(self, file: str, document: Document) -> None:
        seen: list[str] = []
        found: list[LocatedProblem] = []
        for source, raw in _objects(Source(file=file, document=document), document.data):
            seen.append(source.kind)
            found.extend(self._object(source, raw))
        self.problems.extend(found)
        whose = Source(file=file, document=document) if len(seen) != 1 else _named(Source(file=file, document=document), document.data)
        foreign = bool(seen) and not _OURS.intersection(seen)
        places = {(located.line, located.problem.field) for located in found}
        self.problems.extend(_of_document(whose, document.mistakes, foreign=foreign, places=places))

    def _object(self, source: Source, raw: Any) -> Iterator[LocatedProblem]:
        parsed = parse(raw)
        yield from map(source.locate, parsed.problems)
        if parsed.object is None or source.document.refused:
            return
        key = (source.kind, source.namespace, source.name)
        earlier = self.objects.get(key)
        if earlier is None:
            self.objects[key] = Loaded(object=parsed.object, raw=raw, source=source)
            return
        text = f"this object is already in {earlier.source.file}:{earlier.source.line}: rename or remove one"
        yield source.locate(Problem(reason="DuplicateObject", message=text, field="metadata.name"))

    def manifests(self, read: tuple[str, ...]) -> Manifests:
        objects = tuple(self.objects.values())
        return Manifests(
            objects=objects,
            problems=tuple(sorted(self.problems, key=lambda located: located.order)),
            files=read,
            profiles=_index(objects, SecurityProfile) | _index(objects, GlobalSecurityProfile),
            templates=_index(objects, SandboxTemplate),
            secrets=_index(objects, Secret),
            config_maps=_index(objects, ConfigMap),
        )


def _of_document(source: Source, mistakes: Iterable[Mistake], *, foreign: bool, places: set[tuple[int, str]]) -> Iterator[LocatedProblem]:
    """What reading the text found. Of other people's kinds only what is really wrong counts, and it stops nothing of ours."""
    for mistake in mistakes:
        problem = mistake.problem
        if not problem.fatal and (foreign or (mistake.line, problem.field) in places):
            continue
        yield source.at(replace(problem, fatal=problem.fatal and not foreign), mistake.line, mistake.column)


def _objects(source: Source, raw: Any) -> Iterator[tuple[Source, Any]]:
    """The object itself, or those of a List, however deep."""
    if raw is None:
        return
    items = raw.get("items") if isinstance(raw, dict) and str(raw.get("kind", "")).endswith("List") else None
    if not isinstance(items, list):
        yield _named(source, raw), raw
        return
    for index, item in enumerate(items):
        yield from _objects(replace(source, inside=(*source.inside, "items", index)), _typed(item, raw))


def _typed(item: Any, parent: Raw) -> Any:
    """The API server leaves kind and version out of the items of a typed list."""
    kind = parent["kind"].removesuffix("List")
    if not kind or not isinstance(item, dict) or "kind" in item:
        return item
    return {"apiVersion": parent.get("apiVersion"), "kind": kind, **item}


def _named(source: Source, raw: Any) -> Source:
    if not isinstance(raw, dict):
        return source
    metadata = raw.get("metadata")
    meta: Raw = metadata if isinstance(metadata, dict) else {}
    kind = _text(raw.get("kind"))
    namespace = "" if kind in _CLUSTER_WIDE or kind not in _OURS else _text(meta.get("namespace")) or DEFAULT_NAMESPACE
    return replace(source, kind=kind, namespace=namespace, name=_text(meta.get("name")))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _index(objects: Iterable[Loaded[Object]], kind: type[T_co]) -> dict[Name, Loaded[T_co]]:
    return {
        (loaded.namespace, loaded.name): Loaded(object=loaded.object, raw=loaded.raw, source=loaded.source)
        for loaded in objects
        if isinstance(loaded.object, kind)
    }
