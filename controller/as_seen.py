"""A JSON patch onto the very object, in the very version, that was judged; anything else is a Conflict, to be judged anew."""

from kube import objects
from kube.client import Client
from kube.errors import Conflict, Invalid
from kube.objects import Key, Raw, Resource


async def patch_as_seen(client: Client, resource: Resource, key: Key, live: Raw, operations: list[Raw]) -> Raw:
    """The API server does not tell a `test` that failed from a patch that it cannot take: both are tried again."""
    tests = [
        {"op": "test", "path": "/metadata/uid", "value": objects.uid_of(live)},
        {"op": "test", "path": "/metadata/resourceVersion", "value": objects.resource_version(live)},
    ]
    try:
        return await client.json_patch(resource, key, [*tests, *operations])
    except Invalid as error:
        if error.status != 422 or "test" not in str(error):
            raise
        raise Conflict(f"patch {resource} {key}: it has changed", status=409, reason="Conflict") from None
