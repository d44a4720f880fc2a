"""What happened to an object → the keys to reconcile. Nothing is decided here; a key too many costs a look, one too few a wrong pod.

A template's key is added for its own changes, for a profile that selects it or did, for a Secret that its rules name, for the
objects that belong to it, and for the cluster as a whole. A profile's is added for itself; templates add it when they are done. Pods
are nudged when the watch shows that their template's Secret has other content, and when they appear.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from controller.compile import ca_secret, groyne_policy, network_policy, secret
from controller.compile.ownership import ours
from controller.template_book import TemplateBook
from daemon.profile_book import Change, ProfileBook, ref_of
from kube import objects
from kube.objects import Key, Raw
from policy.program import ProfileRef
from policy.template_hashes import HASH_LABEL, name_hash

OWNED_SUFFIXES = (network_policy.SUFFIX, groyne_policy.SUFFIX, secret.SUFFIX, ca_secret.SUFFIX)


def nothing_new(old: Raw, new: Raw) -> bool:
    """Of a template: above all our own label, which comes back for each of thousands at a cold start. A label that is wrong is
    news, and so is another version of the kind: what the template owns names its owner in it.
    """
    read = (objects.uid_of, objects.generation, objects.annotations, objects.deleting, lambda raw: raw.get("apiVersion"))
    if objects.generation(new) is None or any(each(old) != each(new) for each in read):
        return False
    return objects.labels(new).get(HASH_LABEL) == name_hash(objects.key_of(new).name)


@dataclass(slots=True)
class SecretUsers:
    """Which templates' rules name which Secrets, there or not."""

    _users: defaultdict[Key, set[Key]] = field(default_factory=lambda: defaultdict(set))
    _used: dict[Key, frozenset[Key]] = field(default_factory=dict)

    def put(self, template: Key, secrets: Iterable[Key]) -> None:
        wanted = frozenset(secrets)
        for gone in self._used.get(template, frozenset()) - wanted:
            self._users[gone].discard(template)
            if not self._users[gone]:
                del self._users[gone]
        for key in wanted:
            self._users[key].add(template)
        if wanted:
            self._used[template] = wanted
        else:
            self._used.pop(template, None)

    def of_namespace(self, namespace: str) -> frozenset[Key]:
        """`namespace` "" is everywhere."""
        return frozenset(user for key, users in self._users.items() if namespace in ("", key.namespace) for user in users)

    def of(self, secret_key: Key) -> frozenset[Key]:
        return frozenset(self._users.get(secret_key, ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """`template` and `profile` add to the queues, `again` too, behind those, `order` asks for the order warnings of a namespace, `nudge`
    for a look at a template's pods.
    """

    profiles: ProfileBook
    templates: TemplateBook
    users: SecretUsers
    template: Callable[[Key], None]
    again: Callable[[Key], None]
    profile: Callable[[ProfileRef], None]
    order: Callable[[str], None]
    nudge: Callable[[Key], None]
    exists: Callable[[Key], bool]

    def on_template(self, old: Raw | None, new: Raw | None) -> None:
        if old and new and nothing_new(old, new):
            return
        raw = new or old or {}
        key = objects.key_of(raw)
        partners = self.templates.put(new) if new else self.templates.remove(key)
        for each in (key, *partners):
            self.template(each)

    def on_profile(self, old: Raw | None, new: Raw | None) -> None:
        ref = ref_of(new or old or {})
        change = self.profiles.put(new) if new else self.profiles.remove(ref)
        if change:
            self.changed(change)
        if new:
            self.profile(ref)

    def on_policy(self, old: Raw | None, new: Raw | None) -> None:
        self._owner(objects.key_of(new or old or {}))

    def on_secret(self, old: Raw | None, new: Raw | None) -> None:
        raw = new or old or {}
        key = objects.key_of(raw)
        for each in self.users.of(key):
            self.template(each)
        if ours(raw) or key.name.endswith((secret.SUFFIX, ca_secret.SUFFIX)):
            self._owner(key)
        if new and key.name.endswith(secret.SUFFIX) and hash_of(old) != hash_of(new):
            self.nudge(Key(key.namespace, key.name.removesuffix(secret.SUFFIX)))

    def on_pod(self, old: Raw | None, new: Raw | None) -> None:
        if new and old is None:
            for each in self.templates.of_hash(objects.key_of(new).namespace, objects.labels(new).get(HASH_LABEL, "")):
                self.nudge(each)

    def everything(self) -> None:
        """Behind what somebody has just changed."""
        for key in self.templates.all_keys():
            self.again(key)
            self.nudge(key)
        for ref in self.profiles.all_refs():
            self.profile(ref)

    def namespace(self, namespace: str) -> None:
        """What depends on whether this namespace's Secrets can be read; "" is everywhere."""
        own = self.templates.in_namespace(namespace) if namespace else self.templates.all_keys()
        for key in own:
            self.nudge(key)
        for key in own | self.users.of_namespace(namespace):
            self.again(key)

    def changed(self, change: Change) -> None:
        affected = {key for profile in (change.before, change.after) if profile for key in self.templates.selected_by(profile)}
        for key in affected:
            self.template(key)
        self.order(change.ref.namespace)

    def _owner(self, key: Key) -> None:
        """The template after which an object is named, if there is one."""
        for suffix in OWNED_SUFFIXES:
            owner = Key(key.namespace, key.name.removesuffix(suffix))
            if key.name.endswith(suffix) and self.exists(owner):
                self.template(owner)


def hash_of(raw: Raw | None) -> str:
    return objects.annotations(raw or {}).get(secret.CONTENT_HASH, "")
