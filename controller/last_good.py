"""After a restart: the last good versions of profiles that do not compile, out of the unified Secrets that were made from them.

What pods run is what the Secrets say, so they are where it is kept: no object more, nothing that could disagree, and nothing to be read
where every profile compiles.
"""

import logging
from collections.abc import Iterable

from controller.compile.output import LABELS
from controller.kinds import SECRETS
from controller.profile_book import ProfileBook
from controller.secret_writer import kept_versions
from kube.client import Client
from kube.errors import ApiError
from policy.program import ProfileRef

log = logging.getLogger(__name__)

PAGE = 20
SELECTOR = ",".join(f"{key}={value}" for key, value in LABELS.items())


async def restore(client: Client, profiles: ProfileBook, namespaces: Iterable[str]) -> frozenset[ProfileRef]:
    """The profiles that go on as they were. `namespaces` are those whose Secrets can be read. Raises ApiError."""
    found: set[ProfileRef] = set()
    for namespace in namespaces:
        lacking = profiles.lacking(namespace)
        if lacking:
            found |= await restore_from(client, profiles, namespace, lacking)
    return frozenset(found)


async def restore_from(client: Client, profiles: ProfileBook, namespace: str, lacking: frozenset[ProfileRef]) -> set[ProfileRef]:
    found: set[ProfileRef] = set()
    token = ""
    while True:
        page = await client.list_page(SECRETS, namespace=namespace, label_selector=SELECTOR, limit=PAGE, continue_=token)
        for raw in page.items:
            found |= {version.profile.ref for version in kept_versions(raw) if profiles.restore(version)}
        token = page.continue_
        if not token or lacking <= found:
            return found


async def restore_quietly(client: Client, profiles: ProfileBook, namespaces: Iterable[str]) -> frozenset[ProfileRef]:
    """As `restore`; what cannot be read is said and left: the profiles concerned hold nothing until they compile."""
    try:
        return await restore(client, profiles, namespaces)
    except ApiError as error:
        log.warning("last good versions cannot be read: %s", error)
        return frozenset()
