"""The informers that every replica runs: which resources, how much of each, and which of them the controller cannot do without.

Pods and Secrets are watched as metadata. ServiceCIDRs and Nodes only add to what the settings say: where they cannot be read, because
the server is too old or the scope is one namespace, the controller goes on without. Of a Node
what the cluster view reads is kept: each has images, conditions and a heartbeat besides.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from controller.cluster_view import told_by_node
from controller.nudger import PODS_BY_HASH, pods_by_hash
from controller.settings import Settings
from daemon.kinds import (
    GLOBAL_PROFILES,
    NAMESPACES,
    NETWORK_POLICIES,
    NODES,
    OLDER_TEMPLATES,
    PODS,
    PROFILES,
    SECRETS,
    SERVICE_CIDRS,
    TEMPLATES,
)
from kube.client import Client
from kube.errors import Forbidden, NotFound
from kube.informer import Informer, Turned
from kube.objects import Resource
from policy.template_hashes import HASH_LABEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Caches:
    templates: Informer
    profiles: Informer
    globals: Informer
    policies: Informer
    service_cidrs: Informer
    nodes: Informer
    pods: Informer | None
    namespaces: Informer | None

    @classmethod
    def make(cls, client: Client, settings: Settings) -> "Caches":
        scope = settings.namespace
        by_label = settings.opt_in == "label" and not scope

        def informer(resource: Resource, namespace: str = "", **more: object) -> Informer:
            return Informer(client, resource, namespace=namespace, random=random.random, **more)  # type: ignore[arg-type]

        return cls(
            templates=informer(TEMPLATES, scope, otherwise=OLDER_TEMPLATES),
            profiles=informer(PROFILES, scope),
            globals=informer(GLOBAL_PROFILES),
            policies=informer(NETWORK_POLICIES, scope),
            service_cidrs=informer(SERVICE_CIDRS),
            nodes=informer(NODES, transform=told_by_node),
            pods=informer(PODS, scope, label_selector=HASH_LABEL, metadata_only=True, indexers={PODS_BY_HASH: pods_by_hash})
            if settings.nudge
            else None,
            namespaces=informer(NAMESPACES, label_selector=settings.opt_in_label, metadata_only=True) if by_label else None,
        )

    def all(self) -> Iterator[tuple[str, Informer]]:
        for name in self.__slots__:
            found = getattr(self, name)
            if found is not None:
                yield name, found

    def lacking(self) -> list[str]:
        """What is waited for before anything is written: all that is needed, and of the rest what has not answered at all."""
        return [name for name, informer in self.all() if not settled(name, informer)]


OPTIONAL = ("service_cidrs", "nodes")


def settled(name: str, informer: Informer) -> bool:
    return informer.has_synced or (name in OPTIONAL and isinstance(informer.last_error, Forbidden | NotFound))


def secrets_of(client: Client, namespace: str, turned: Turned) -> Informer:
    return Informer(client, SECRETS, namespace=namespace, metadata_only=True, random=random.random, turned=turned)
