"""A JSON patch onto the very object, in the very version, that was judged; anything else is a Conflict, to be judged anew.

Uid and version are set to what was seen and not tested: the API server answers a `test` that fails as it answers a patch that is
wrong, but knows an object that has changed from one that would be changed.
"""

from kube import objects
from kube.client import Client
from kube.objects import Key, Raw, Resource


async def patch_as_seen(client: Client, resource: Resource, key: Key, live: Raw, operations: list[Raw]) -> Raw:
    """The metadata that it has then: what was written is known already, and may be large."""
    seen = [
        {"op": "add", "path": "/metadata/uid", "value": objects.uid_of(live)},
        {"op": "add", "path": "/metadata/resourceVersion", "value": objects.resource_version(live)},
    ]
    return await client.json_patch(resource, key, [*seen, *operations], metadata_only=True)
