"""Every profile as it is and as it is in force: raw objects in; what changed, and what applies to an identity, out. No I/O.

A profile is compiled when its spec or its annotations change, never for its status. One that does not compile keeps its last good
version in force as long as the object exists: the one that was in force before, or, after a restart, the one that a template's
Secret has kept (`restore`). An object made anew under the same name has no past.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from crds import annotations, parse
from crds.problem import Problem
from crds.security_profile import GlobalSecurityProfile, SecurityProfile
from kube import objects
from kube.objects import Raw
from policy.actions import NATIVE_ONLY
from policy.compile import compile_profile
from policy.program import Engine, Identity, Profile, ProfileRef, Selection
from policy.selector_index import SelectorIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a profile that compiles. `source` is what it was compiled from, enough to do so again."""

    uid: str
    generation: int | None
    profile: Profile
    source: Raw
    ca_secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A profile that exists. `problems` are those of the object as it is, `rules` its rules' names; `version` is what is in force."""

    ref: ProfileRef
    stamp: tuple[Any, ...]
    uid: str
    generation: int | None
    rules: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    version: Version | None = None

    @property
    def compiles(self) -> bool:
        """The object as it is."""
        return self.version is not None and not self.last_good_in_force

    @property
    def last_good_in_force(self) -> bool:
        return self.version is not None and any(problem.fatal for problem in self.problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What was in force, and what is."""

    ref: ProfileRef
    before: Profile | None
    after: Profile | None


@dataclass(slots=True)
class ProfileBook:
    """`engines` are those that run where the profiles will be in force; `kept` is how a version is kept, which means the same."""

    engines: frozenset[Engine] = NATIVE_ONLY
    kept: Callable[[Version], Version] = lambda version: version
    _entries: dict[ProfileRef, Entry] = field(default_factory=dict)
    _index: SelectorIndex[ProfileRef] = field(default_factory=SelectorIndex)

    def put(self, raw: Raw) -> Change | None:
        """None where nothing changed that matters here."""
        ref, stamp = ref_of(raw), stamp_of(raw)
        before = self._entries.get(ref)
        if before and before.stamp == stamp:
            return None
        entry = self._read(ref, stamp, raw, before)
        self._entries[ref] = entry
        self._file(entry)
        return Change(ref=ref, before=in_force(before), after=in_force(entry))

    def remove(self, ref: ProfileRef) -> Change | None:
        entry = self._entries.pop(ref, None)
        self._index.remove(ref)
        return Change(ref=ref, before=in_force(entry), after=None) if entry else None

    def lacking(self, namespace: str) -> frozenset[ProfileRef]:
        """Profiles of the namespace ("" is everywhere), and Global ones, that do not compile as they are."""
        broken = (ref for ref, entry in self._entries.items() if not entry.compiles)
        return frozenset(ref for ref in broken if not namespace or ref.namespace in ("", namespace))

    def restore(self, version: Version) -> Change | None:
        """Puts a kept version in force, where the very object is still there, does not compile, and has nothing newer in force."""
        entry = self._entries.get(version.profile.ref)
        if entry is None or entry.compiles or entry.uid != version.uid or not newer(version, entry.version):
            return None
        restored = replace(entry, version=version)
        self._entries[entry.ref] = restored
        self._file(restored)
        return Change(ref=entry.ref, before=in_force(entry), after=in_force(restored))

    def get(self, ref: ProfileRef) -> Entry | None:
        return self._entries.get(ref)

    def all_refs(self) -> list[ProfileRef]:
        return list(self._entries)

    def states(self) -> list[tuple[str, bool]]:
        """Of each profile its kind, and whether it compiles as it is."""
        entries = list(self._entries.values())
        return [(entry.ref.kind, not any(problem.fatal for problem in entry.problems)) for entry in entries]

    @property
    def namespaces(self) -> frozenset[str]:
        return frozenset(ref.namespace for ref in self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def select(self, identity: Identity) -> Selection:
        """As `Program.select` of all that is in force."""
        labels = dict(identity.labels)
        found = (in_force(self._entries[ref]) for ref in self._index.candidates(identity.namespace, labels))
        chosen = [profile for profile in found if profile and profile.selector.matches(labels)]
        return Selection(profiles=tuple(sorted(chosen, key=lambda profile: profile.order)), identity=identity)

    def in_force_of(self, namespaces: Iterable[str]) -> tuple[Profile, ...]:
        spaces = frozenset(namespaces)
        found = (in_force(entry) for ref, entry in self._entries.items() if ref.namespace in spaces)
        return tuple(sorted((profile for profile in found if profile), key=lambda profile: profile.order))

    def _read(self, ref: ProfileRef, stamp: tuple[Any, ...], raw: Raw, before: Entry | None) -> Entry:
        uid, generation = objects.uid_of(raw), objects.generation(raw)
        version, rules, problems = compiled(raw, ref, self.engines)
        if version:
            version = self.kept(version)
        if version is None:
            past = before.version if before else None
            version = past if past and past.uid == uid else None
        return Entry(ref=ref, stamp=stamp, uid=uid, generation=generation, rules=rules, problems=problems, version=version)

    def _file(self, entry: Entry) -> None:
        profile = in_force(entry)
        if profile:
            self._index.put(entry.ref, entry.ref.namespace, profile.selector)
        else:
            self._index.remove(entry.ref)


def newer(version: Version, than: Version | None) -> bool:
    """Who stands by may have missed versions that the leader has put in force."""
    return than is None or (version.generation or 0) > (than.generation or 0)


def in_force(entry: Entry | None) -> Profile | None:
    return entry.version.profile if entry and entry.version else None


def ref_of(raw: Raw) -> ProfileRef:
    key = objects.key_of(raw)
    if raw.get("kind") == "GlobalSecurityProfile":
        return ProfileRef(kind="GlobalSecurityProfile", name=key.name)
    return ProfileRef(kind="SecurityProfile", namespace=key.namespace, name=key.name)


def stamp_of(raw: Raw) -> tuple[Any, ...]:
    """Equal for two states of an object that mean the same to us."""
    ours = tuple(our_annotations(raw).items())
    return objects.uid_of(raw), objects.generation(raw), ours


def compiled(raw: Raw, ref: ProfileRef, engines: frozenset[Engine]) -> tuple[Version | None, tuple[str, ...], tuple[Problem, ...]]:
    """The version that `raw` describes, unless a problem is fatal; its rules' names; its problems."""
    parsed = parse(raw)
    model = parsed.object
    if not isinstance(model, SecurityProfile | GlobalSecurityProfile):
        return None, (), parsed.problems
    result = compile_profile(model, engines=engines)
    rules, problems = tuple(rule.name for rule in model.spec.rules), (*parsed.problems, *result.problems)
    if result.profile is None or result.ref != ref:
        return None, rules, problems
    version = Version(
        uid=objects.uid_of(raw),
        generation=objects.generation(raw),
        profile=result.profile,
        source=source_of(raw),
        ca_secret=annotations.read(model.metadata.annotations).ca_secret,
    )
    return version, rules, problems


def source_of(raw: Raw) -> Raw:
    """The object less what does not bear on its meaning, so that it stays the same as long as it means the same."""
    head = objects.metadata(raw)
    kept = {name: head[name] for name in ("name", "namespace", "uid", "generation") if head.get(name) is not None}
    ours = our_annotations(raw)
    noted = {"annotations": ours} if ours else {}
    return {"apiVersion": raw.get("apiVersion"), "kind": raw.get("kind"), "metadata": {**kept, **noted}, "spec": raw.get("spec")}


def our_annotations(raw: Raw) -> dict[str, str]:
    """Those that bear on its meaning, in order. kubectl's own is the whole object once more."""
    return {key: value for key, value in sorted(objects.annotations(raw).items()) if key.startswith(annotations.PREFIX)}


def version_from(source: Any) -> Version | None:
    """The version that a kept `source` describes; None where it is none, or does not compile any more."""
    return compiled(source, ref_of(source), frozenset(Engine))[0] if isinstance(source, dict) else None
