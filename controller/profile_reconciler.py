"""One profile's status, from the books and the ledger. Nothing is written where nothing changed, and nothing before every template
that the profile selects has had its turn once: a restart makes no status flicker. Of a version that is only remembered nothing is
said: that the last good one stays in force is true where a Secret has it, and then also after a restart.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from controller.compile.status import ProfileFacts, profile_status
from controller.ext_proc import tokenless
from controller.ledger import Ledger, Outcome
from controller.pace import Pace
from controller.template_book import TemplateBook
from crds.problem import Problem
from daemon.kinds import GLOBAL_PROFILES, PROFILES
from daemon.profile_book import Entry, ProfileBook, in_force
from kube import objects
from kube.client import Client
from kube.objects import Key, Raw
from kube.reconcile import Result
from kube.store import Store
from policy.program import Engine, ProfileRef

Told = Callable[[Raw, str, str, str], None]


@dataclass(slots=True)
class OrderWarnings:
    """OrderSensitive, by namespace, as last computed."""

    _found: dict[str, Mapping[ProfileRef, tuple[Problem, ...]]] = field(default_factory=dict)

    def of(self, ref: ProfileRef) -> tuple[Problem, ...]:
        return self._found.get(ref.namespace, {}).get(ref, ())

    def put(self, namespace: str, found: Mapping[ProfileRef, tuple[Problem, ...]]) -> frozenset[ProfileRef]:
        """The profiles of which something else is to be said."""
        before = self._found.get(namespace, {})
        self._found[namespace] = found
        return frozenset(ref for ref in {*before, *found} if before.get(ref) != found.get(ref))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileReconciler:
    """`stores` are the profiles as the watch has them, by kind; `tell` makes an Event: object, type, reason, note."""

    client: Client
    stores: Mapping[str, Store]
    profiles: ProfileBook
    templates: TemplateBook
    warnings: OrderWarnings
    ledger: Ledger
    pace: Pace
    tell: Told
    now: Callable[[], datetime]
    unsaid: set[ProfileRef]
    """Those whose status is not written as it should be: refused, or put off."""
    scope: str = ""
    """The one namespace that is looked after: what is said of Global profiles then is another controller's business."""

    async def __call__(self, ref: ProfileRef) -> Result:
        self.unsaid.discard(ref)
        entry, raw = self.profiles.get(ref), self.stores[ref.kind].get(Key(ref.namespace, ref.name))
        if entry is None or raw is None or objects.deleting(raw) or (self.scope and ref.of_global):
            return Result()
        profile = in_force(entry)
        selected = self.templates.selected_by(profile) if profile else frozenset()
        outcomes = [self.ledger.get(key) for key in sorted(selected)]
        if any(outcome is None for outcome in outcomes):
            return Result()
        facts = self._facts(entry, [outcome for outcome in outcomes if outcome])
        old = conditions_of(raw)
        status = profile_status(facts, old, now=self.now())
        if same(status, raw.get("status")):
            return Result()
        self.unsaid.add(ref)
        wait = self.pace.wait(ref)
        if wait > 0:
            return Result(requeue_after=wait, tried=False)
        self.pace.note(ref)
        await self._write(ref, raw, status)
        self.unsaid.discard(ref)
        self._tell(raw, old, status["conditions"])
        return Result()

    def _facts(self, entry: Entry, outcomes: list[Outcome]) -> ProfileFacts:
        profile, generation = in_force(entry), entry.version.generation if entry.version else None
        done = [outcome for outcome in outcomes if outcome.written and outcome.selected.get(entry.ref, -1) == generation]
        if entry.last_good_in_force and not done:
            outcomes = []
        unresolved = dict.fromkeys(problem for outcome in outcomes for problem in outcome.unresolved.get(entry.ref, ()))
        failures = dict.fromkeys(problem for outcome in outcomes for problem in outcome.failures)
        return ProfileFacts(
            generation=entry.generation,
            rules=entry.rules,
            asked=asked(entry),
            problems=(*entry.problems, *(tokenless(profile) if profile else ()), *self.warnings.of(entry.ref)),
            unresolved=tuple(unresolved),
            last_good_in_force=entry.last_good_in_force and bool(done),
            templates=len(outcomes),
            programmed=len(done),
            failures=tuple(failures),
        )

    async def _write(self, ref: ProfileRef, raw: Raw, status: Raw) -> None:
        """Only onto the state that was judged: a newer one is judged anew."""
        resource = GLOBAL_PROFILES if ref.of_global else PROFILES
        body = {"metadata": {"resourceVersion": objects.resource_version(raw), "uid": objects.uid_of(raw)}, "status": status}
        await self.client.merge_patch(resource, Key(ref.namespace, ref.name), body, subresource="status")

    def _tell(self, raw: Raw, old: list[Raw], new: list[Raw]) -> None:
        """An Event where a condition turned."""
        before = {condition.get("type"): (condition.get("status"), condition.get("reason")) for condition in old}
        for condition in new:
            kind, status, reason = condition.get("type"), condition.get("status"), condition.get("reason")
            if before.get(kind) == (status, reason):
                continue
            if status == "False" and reason != "Pending":
                self.tell(raw, "Warning", str(reason), str(condition.get("message")))
            elif kind == "Programmed" and status == "True":
                self.tell(raw, "Normal", "Programmed", str(condition.get("message")))


def asked(entry: Entry) -> tuple[str, ...]:
    """The names of the rules that are ext-proc's to carry out."""
    profile = in_force(entry)
    return tuple(rule.name for rule in profile.rules if rule.engine is Engine.EXTPROC) if profile else ()


def same(wanted: Raw, there: object) -> bool:
    """What other writers have put beside it stays, also when it is written."""
    return isinstance(there, dict) and {**there, **wanted} == there


def conditions_of(raw: Raw) -> list[dict[str, Any]]:
    """Those that can be read; others are written over."""
    status = raw.get("status")
    found = status.get("conditions") if isinstance(status, dict) else None
    return [condition for condition in found if isinstance(condition, dict)] if isinstance(found, list) else []
