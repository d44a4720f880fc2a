"""One SandboxTemplate: its hash label, its NetworkPolicies, its unified Secret and its CA's; what came of it goes into the ledger.

Level-triggered: each run reads the books and caches as they are and does what is lacking. The parts do not wait for each other:
a Secret that cannot be written keeps no NetworkPolicy from being right. Whatever fails is tried again later, the rest stands.
Whatever came of a turn, the profiles hear of it: one template that fails in a new way makes no profile wait in silence.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from controller.attempt import compiled, without_secret
from controller.ca_keeper import CaKeeper
from controller.compile import ca_secret, groyne_policy, network_policy, secret
from controller.compile.credentials_now import credentials_now
from controller.compile.output import Manifest
from controller.compile.secret import CONTENT_HASH, size_problem
from controller.compile.template import Cluster
from controller.ledger import Ledger, Outcome
from controller.pace import ROW_ENDS, Pace, TooSoon
from controller.policy_writer import PolicyWriter, warnings_text
from controller.references import Resolved, Resolver, ca_named, not_opted_in
from controller.renewal import CertificateKind, due, ends
from controller.secret_writer import SecretWriter, decoded, refused, with_profiles
from controller.setbacks import CONTESTED, ConflictingOwner, as_said_to_profiles, not_renewed, not_taken, readable_ends, told, undone
from controller.template_book import TemplateBook
from controller.template_inputs import template_inputs
from controller.workshop import Workshop
from crds import parse
from crds.problem import Problem
from crds.sandbox_template import SandboxTemplate
from daemon.kinds import NETWORK_POLICIES, SECRETS, TEMPLATES, templates_like
from daemon.last_good import LastGood
from daemon.profile_book import Entry, ProfileBook
from daemon.secret_reader import Access, NotReadableYet, SecretReader
from kube import objects
from kube.client import Client
from kube.errors import Invalid
from kube.objects import Key, Raw
from kube.reconcile import Result
from kube.store import Store
from policy.program import Identity, ProfileRef
from policy.template_hashes import HASH_LABEL, name_hash
from policy.template_identity import template_identity

log = logging.getLogger(__name__)

LONGEST_REST = timedelta(hours=12)
LOOK_AGAIN = 5.0
"""Seconds until a Secret is looked at that the watch had not heard of: it may go again without a word from it."""

Announce = Callable[[Raw, Problem], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """What a reconcile reads. Of `last_good` it may be the first who asks."""

    templates: Store
    profiles: ProfileBook
    book: TemplateBook
    last_good: LastGood
    secrets: SecretReader
    cluster: Callable[[], Cluster]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What a reconcile may do. `changed` hears of profiles of which there is news, `distributed` of a Secret that was written,
    `uses` of the Secrets that its rules name,
    `expiring` of the ends of a template's certificates; {} where there are none.
    """

    client: Client
    policies: PolicyWriter
    secrets: SecretWriter
    announce: Announce
    changed: Callable[[frozenset[ProfileRef]], None]
    distributed: Callable[[Key, str], None]
    uses: Callable[[Key, Iterable[Key]], None]
    expiring: Callable[[Key, Mapping[CertificateKind, datetime]], None]


class TemplateReconciler:
    def __init__(self, rooms: Rooms, effects: Effects, ledger: Ledger, now: Callable[[], datetime]) -> None:
        self._rooms, self._effects, self._ledger, self._now = rooms, effects, ledger, now
        self._cas = CaKeeper(rooms.secrets, effects.secrets)
        self._workshop, self._looks = Workshop(), Pace()
        self._unended: set[Key] = set()
        """Templates whose last turn came to nothing, without an error to tell of. Once is no news: a start makes no status flicker."""

    async def __call__(self, key: Key) -> Result:
        raw = self._rooms.templates.get(key)
        if raw is None or objects.deleting(raw):
            self._unended.discard(key)
            self._effects.changed(self._ledger.remove(key))
            self._effects.expiring(key, {})
            self._effects.uses(key, ())
            return Result()
        parsed = parse(raw)
        for problem in parsed.problems:
            self._effects.announce(raw, problem)
        if not isinstance(parsed.object, SandboxTemplate):
            failures = tuple(as_said_to_profiles(key, problem) for problem in parsed.problems)
            self._put(key, Outcome(selected=self._selected(self._rooms.book.identity(key)), failures=failures))
            return Result()
        try:
            return await self._bring(key, raw, parsed.object)
        except asyncio.CancelledError:
            self._unended.add(key)
            raise

    def _put(self, key: Key, outcome: Outcome) -> None:
        self._effects.changed(self._ledger.put(key, outcome))

    def _selected(self, identity: Identity | None) -> dict[ProfileRef, int | None]:
        profiles = self._rooms.profiles.select(identity).profiles if identity else ()
        entries = [entry for profile in profiles if (entry := self._rooms.profiles.get(profile.ref))]
        return {entry.ref: entry.version.generation for entry in entries if entry.version}

    def _still_nothing(self, key: Key, template: SandboxTemplate) -> None:
        """For the second time: until it does come to something, its profiles say that it is pending."""
        if key in self._unended and self._ledger.get(key) is None:
            self._put(key, Outcome(selected=self._selected(template_identity(template))))
        self._unended.discard(key)

    async def _bring(self, key: Key, raw: Raw, template: SandboxTemplate) -> Result:
        """Each part by itself; the first failure is raised when all have had their turn."""
        self._still_nothing(key, template)
        failed: list[Exception] = []
        for part in (self._label, self._policies):
            try:
                await part(key, raw, template)
            except Exception as error:  # noqa: BLE001 — raised below
                failed.append(error)
        before = self._ledger.get(key)
        outcome = as_before(self._unwritten(key, template), before)
        try:
            outcome = self._beside(failed, await self._egress(key, raw, template), before)
        except NotReadableYet:
            self._unended.add(key)
            return later(failed, 1.0)
        except TooSoon as error:
            failed.append(error)
        except Exception as error:  # noqa: BLE001 — raised below
            failed.append(error)
            outcome = self._unwritten(key, template)
        outcome = with_setbacks(outcome, (*setbacks(key, failed), *self._contested(key)))
        self._put(key, outcome)
        return later(failed, self._rest(outcome))

    def _beside(self, failed: list[Exception], outcome: Outcome, before: Outcome | None) -> Outcome:
        """Where a policy was only put off, it says what it said for as long as the same holds for the template."""
        if not failed:
            return outcome
        same = before is not None and before.written and before.selected == outcome.selected
        return replace(outcome, written=outcome.written and same, put_off=True)

    def _contested(self, key: Key) -> tuple[Problem, ...]:
        policies = [(NETWORK_POLICIES, suffix) for suffix in (network_policy.SUFFIX, groyne_policy.SUFFIX)]
        items = [(resource, Key(key.namespace, key.name + suffix)) for resource, suffix in (*policies, (SECRETS, secret.SUFFIX))]
        return tuple(undone(key, resource, item) for resource, item in items if self._effects.policies.pace.is_contested((resource, item)))

    async def _label(self, key: Key, raw: Raw, _template: SandboxTemplate) -> None:
        wanted = name_hash(key.name)
        if objects.labels(raw).get(HASH_LABEL) == wanted:
            return
        self._effects.policies.pace.take((TEMPLATES, key))
        # No apply: the server would read all that others own through the version that they wrote in, and fail where that cannot be had.
        body = {"metadata": {"uid": objects.uid_of(raw), "labels": {HASH_LABEL: wanted}}}
        await self._effects.client.merge_patch(templates_like(raw), key, body)

    async def _policies(self, key: Key, raw: Raw, template: SandboxTemplate) -> None:
        cluster, selection = self._rooms.cluster(), self._rooms.profiles.select(template_identity(template))
        own = network_policy.network_policy(template, extra_excluded=cluster.extra_excluded)
        added = groyne_policy.groyne_policy(template, selection, cluster.ext_proc)
        collision = self._rooms.book.collision(key)
        problems = tuple(dict.fromkeys((*own.problems, *added.problems, *((collision,) if collision else ()))))
        for problem in problems:
            self._effects.announce(raw, problem)
        if not any(problem.fatal for problem in own.problems):
            await self._policy(raw, key, network_policy.SUFFIX, own.manifest, warnings_text(problems))
        if not any(problem.fatal for problem in added.problems):
            await self._policy(raw, key, groyne_policy.SUFFIX, added.manifest, "")

    async def _policy(self, raw: Raw, key: Key, suffix: str, wanted: Manifest | None, warnings: str) -> None:
        name = Key(key.namespace, key.name + suffix)
        try:
            problem = await self._effects.policies.bring(name, wanted, uid=objects.uid_of(raw), warnings=warnings)
        except Invalid as error:
            self._effects.announce(raw, not_taken(name, error))
            raise
        if problem:
            self._effects.announce(raw, problem)
            if problem.fatal:
                raise ConflictingOwner(name, problem)

    async def _egress(self, key: Key, raw: Raw, template: SandboxTemplate) -> Outcome:
        access = self._rooms.secrets.access(key.namespace)
        if access is Access.UNKNOWN:
            raise NotReadableYet(f"the Secrets of namespace {key.namespace} are not listed yet")
        if access is Access.OPEN:
            await self._rooms.last_good.ensure(key.namespace)
        selection = self._rooms.profiles.select(template_identity(template))
        entries = [entry for profile in selection.profiles if (entry := self._rooms.profiles.get(profile.ref))]
        selected = {entry.ref: entry.version.generation for entry in entries if entry.version}
        name = Key(key.namespace, key.name + secret.SUFFIX)
        if access is Access.CLOSED:
            return self._closed(raw, key, selected)
        if not entries:
            self._effects.uses(key, ())
            for each in (name, Key(key.namespace, key.name + ca_secret.SUFFIX)):
                await self._remove(each, raw)
            return Outcome(written=True)
        resolver = Resolver(self._rooms.secrets)
        resolved = await resolver.resolve(selection, ca_named(template, entries, key.namespace), self._now())
        self._effects.uses(key, resolved.secrets)
        base = Outcome(selected=selected, unresolved=resolved.unresolved)
        return await self._bring_secret(name, raw, template, entries, resolved, base)

    async def _bring_secret(
        self, name: Key, raw: Raw, template: SandboxTemplate, entries: list[Entry], resolved: Resolved, base: Outcome
    ) -> Outcome:
        cluster, before = self._rooms.cluster(), self._ledger.get(objects.key_of(raw))
        inputs = template_inputs(template, entries, resolved, cluster)
        authority_name = Key(name.namespace, template.metadata.name + ca_secret.SUFFIX)
        if before and self._nothing_to_do(name, authority_name, before, inputs):
            behind = self._rooms.secrets.behind(name, before.version) or self._cas.behind(authority_name, before.ca_version)
            known = replace(before, selected=base.selected, unresolved=base.unresolved, inputs=inputs)
            return replace(known, unseen=behind, put_off=False)
        if before and before.inputs == inputs:
            self._looks.take(name)  # somebody has written into it, and may do so all the time
        live = await self._effects.secrets.read(name)
        authority = await self._cas.read(authority_name, objects.uid_of(raw), before.ca_version if before else "")
        now = self._now()
        failure = refused(live, objects.uid_of(raw)) or resolved.failure
        if failure is None:
            made = await self._workshop.make(
                resolved.selection, compiled, template, resolved, cluster, ca_secret.held(decoded(live), authority.values), now
            )
            failure = made if isinstance(made, Problem) else without_secret(made) or authority.refused(made.ca)
        if failure is not None or isinstance(made, Problem) or made.secret is None:
            return await self._failing(name, raw, base, failure, resolved, live)
        wanted = with_profiles(made.secret, [entry.version for entry in entries if entry.version])
        too_large = size_problem(name.name, sum(map(len, wanted.data.values())))
        if too_large:
            self._effects.announce(raw, too_large)
            if too_large.fatal:
                return await self._failing(name, raw, base, too_large, resolved, live)
        ca_version = await self._cas.bring(authority_name, made.ca, authority, now=now)
        written = await self._effects.secrets.bring(name, wanted, live, now=now)
        await self._cas.clear(authority_name, made.ca, authority)
        revision = wanted.metadata["annotations"][CONTENT_HASH][:16]
        if written.changed:
            self._effects.distributed(objects.key_of(raw), revision)
        self._effects.expiring(objects.key_of(raw), ends(wanted.data))
        renew_at = due(wanted.data, made.ca.data if made.ca else {})
        done = {"version": written.version, "ca_version": ca_version, "revision": revision, "renew_at": renew_at}
        return replace(base, written=True, inputs=inputs, **done)

    def _nothing_to_do(self, name: Key, authority: Key, before: Outcome, inputs: tuple[object, ...]) -> bool:
        """Also as long as the watch has not come to what was written: it is about to be told, and then looked at."""
        live = self._rooms.secrets.metadata(name)
        unchanged = live is not None and before.version == objects.resource_version(live)
        unchanged = unchanged or self._rooms.secrets.behind(name, before.version)
        unchanged = unchanged and self._cas.unchanged(authority, before.ca_version)
        due = before.renew_at is not None and self._now() >= before.renew_at
        return before.written and unchanged and not due and before.inputs == inputs

    def _closed(self, raw: Raw, key: Key, selected: Mapping[ProfileRef, int | None]) -> Outcome:
        """No Secret without its namespace's consent: the profiles say so; the NetworkPolicy stands all the same."""
        if not selected:
            return Outcome(written=True)
        problem = not_opted_in(key.namespace)
        self._effects.announce(raw, problem)
        return Outcome(selected=selected, unresolved=dict.fromkeys(selected, (problem,)), failures=(problem,))

    async def _remove(self, name: Key, raw: Raw) -> None:
        """No profile selects the template any more."""
        there = self._rooms.secrets.metadata(name)
        if there is None or refused(there, objects.uid_of(raw)):
            return
        live = await self._effects.secrets.read(name)
        if live is not None and refused(live, objects.uid_of(raw)) is None:
            await self._effects.secrets.remove(name, live)

    async def _failing(self, name: Key, raw: Raw, base: Outcome, failure: Problem | None, resolved: Resolved, live: Raw | None) -> Outcome:
        """The Secret stays as it is, but for credentials that are not what they were. So do its certificates, whose end is told."""
        if failure:
            self._effects.announce(raw, failure)
        if live is not None and refused(live, objects.uid_of(raw)) is None:
            wanted = credentials_now(decoded(live), resolved.selection, resolved.credentials)
            await self._effects.secrets.bring(name, wanted, live, now=self._now())
            found = readable_ends(wanted.data)
            self._effects.expiring(objects.key_of(raw), found)
            failure = failure and not_renewed(failure, found)
        return replace(base, failures=(failure,) if failure else ())

    def _unwritten(self, key: Key, template: SandboxTemplate) -> Outcome:
        before = self._ledger.get(key)
        unresolved = before.unresolved if before else {}
        return Outcome(selected=self._selected(template_identity(template)), unresolved=unresolved)

    def _rest(self, outcome: Outcome) -> float | None:
        if any(problem.reason == CONTESTED for problem in outcome.failures):
            return ROW_ENDS
        if outcome.unseen:
            return LOOK_AGAIN
        if outcome.renew_at is None:
            return None
        return max(1.0, min(outcome.renew_at - self._now(), LONGEST_REST).total_seconds())


def as_before(unknown: Outcome, before: Outcome | None) -> Outcome:
    """That a Secret is put off is no news: what was written still is, what could not be written still is not, and soon more is known."""
    return replace(before or unknown, put_off=True)


def setbacks(key: Key, failed: list[Exception]) -> tuple[Problem, ...]:
    return tuple(told(key, error) for error in failed if not isinstance(error, TooSoon))


def with_setbacks(outcome: Outcome, more: tuple[Problem, ...]) -> Outcome:
    return replace(outcome, written=False, failures=tuple(dict.fromkeys((*outcome.failures, *more)))) if more else outcome


def later(failed: list[Exception], rest: float | None) -> Result:
    errors = [error for error in failed if not isinstance(error, TooSoon)]
    if errors:
        raise errors[0]
    waits = [error.seconds for error in failed if isinstance(error, TooSoon)]
    return Result(requeue_after=min(waits), tried=False) if waits else Result(requeue_after=rest)
