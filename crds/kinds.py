"""Which model reads a raw object: dict in; model and Problems out, never an exception.

An object of a kind that is not ours is no mistake: manifests for a cluster hold many. A kind or group that is almost ours
is one, because policy that is silently ignored is the worst outcome.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import ValidationError

from crds import annotations, errors
from crds.core import ConfigMap, Secret
from crds.hidden import shown_place
from crds.nearest import nearest
from crds.paths import shorten
from crds.problem import Problem
from crds.reasons import Reason
from crds.sandbox_template import SandboxTemplate
from crds.security_profile import GlobalSecurityProfile, SecurityProfile

Object = SecurityProfile | GlobalSecurityProfile | SandboxTemplate | Secret | ConfigMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind that we read, and the versions in which we understand it."""

    group: str
    name: str
    versions: tuple[str, ...]
    model: type[Object]
    namespaced: bool = True

    @property
    def api_versions(self) -> tuple[str, ...]:
        return tuple(f"{self.group}/{version}" if self.group else version for version in self.versions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """`object` is None as soon as one problem is fatal, and for kinds that are not ours."""

    object: Object | None = None
    problems: tuple[Problem, ...] = ()


KINDS = (
    Kind(group="agents.kruise.io", name="SecurityProfile", versions=("v1alpha1",), model=SecurityProfile),
    Kind(group="agents.kruise.io", name="GlobalSecurityProfile", versions=("v1alpha1",), model=GlobalSecurityProfile, namespaced=False),
    Kind(group="extensions.agents.x-k8s.io", name="SandboxTemplate", versions=("v1beta1", "v1alpha1"), model=SandboxTemplate),
    Kind(group="", name="Secret", versions=("v1",), model=Secret),
    Kind(group="", name="ConfigMap", versions=("v1",), model=ConfigMap),
)
_BY_NAME: Mapping[tuple[str, str], Kind] = {(kind.group, kind.name): kind for kind in KINDS}


def parse(raw: Any) -> Parsed:
    """The object that `raw` describes, or what is wrong with it."""
    if not isinstance(raw, dict):
        return _failed(Reason.INVALID_TYPE, "an object must be a map with `apiVersion`, `kind` and `metadata`")
    faults = tuple(_type_faults(raw))
    if faults:
        return Parsed(problems=faults)
    group, _, version = str(raw["apiVersion"]).rpartition("/")
    kind = _BY_NAME.get((group, raw["kind"]))
    if kind is None:
        return Parsed(problems=(_unknown(group, raw["kind"]),))
    if version not in kind.versions:
        text = f"this version of {kind.name} is not supported: write {' or '.join(kind.api_versions)}"
        return _failed(Reason.UNSUPPORTED_VERSION, text, "apiVersion")
    return _read(kind, raw)


def _read(kind: Kind, raw: dict[str, Any]) -> Parsed:
    metadata = raw.get("metadata")
    notes = tuple(_notes(kind, metadata if isinstance(metadata, dict) else {}))
    try:
        value = kind.model.model_validate(raw)
    except ValidationError as error:
        shown = partial(shown_place, raw) if kind.model is Secret else tuple
        return Parsed(problems=(*errors.problems(error, shown=shown), *notes))
    fatal = any(problem.fatal for problem in notes)
    return Parsed(object=None if fatal else value, problems=notes)


def _notes(kind: Kind, metadata: Mapping[str, Any]) -> Iterator[Problem]:
    given = metadata.get("annotations")
    if isinstance(given, dict):
        texts = {key: text for key, text in given.items() if isinstance(key, str) and isinstance(text, str)}
        yield from annotations.problems(kind.name, texts)
    if not kind.namespaced and metadata.get("namespace"):
        text = f"a {kind.name} is cluster-wide: remove `namespace`, it has no effect"
        yield Problem(reason=Reason.INVALID_VALUE.value, message=text, field="metadata.namespace", fatal=False)


def _type_faults(raw: Mapping[Any, Any]) -> Iterator[Problem]:
    for field in ("apiVersion", "kind"):
        value = raw.get(field)
        if value is None or value == "":
            yield _problem(Reason.MISSING_FIELD, f"every object needs `{field}`: add it", field)
        elif not isinstance(value, str):
            yield _problem(Reason.INVALID_TYPE, "must be text", field)


def _unknown(group: str, name: str) -> Problem:
    meant = _almost(group, name)
    if meant:
        text = f"not a kind that is known here: did you mean kind {meant.name} with apiVersion {meant.api_versions[0]}?"
        return _problem(Reason.UNKNOWN_KIND, text, "kind" if meant.group == group else "apiVersion")
    if (group, name) == ("", "List") or any(name == f"{kind.name}List" for kind in KINDS):
        return _problem(Reason.UNKNOWN_KIND, "a list of objects is not read: write each as a document of its own", "kind")
    text = f"{shorten(name)} is not a kind that Groyne reads: the object is ignored"
    return Problem(reason=Reason.UNKNOWN_KIND.value, message=text, field="kind", fatal=False)


def _almost(group: str, name: str) -> Kind | None:
    """The kind of ours that was meant, where all but a slip of the keyboard agrees."""
    for kind in KINDS:
        same_name, same_group = kind.name == name, kind.group == group
        if same_group and nearest(name, [kind.name], cutoff=0.9) and not name.endswith("List"):
            return kind
        if same_name and kind.group and (not group or nearest(group, [kind.group], cutoff=0.8)):
            return kind
    return None


def _failed(reason: Reason, message: str, field: str = "") -> Parsed:
    return Parsed(problems=(_problem(reason, message, field),))


def _problem(reason: Reason, message: str, field: str) -> Problem:
    return Problem(reason=reason.value, message=message, field=field)
