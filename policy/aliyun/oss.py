"""What both signatures of object storage need: the bucket, which stands in the host, and the resource that it makes with the path.

A host below aliyuncs.com tells: `BUCKET.oss-REGION.aliyuncs.com`, also internal, accelerated, dual-stack and cloud-box ones, or
without a bucket in front. A host of the customer's own (CNAME) does not.
"""

import re

from policy.aliyun.encoding import decoded, path_of
from policy.aliyun.values import AliyunCredential
from policy.request import Request

TOKEN = "x-oss-security-token"  # noqa: S105 — a header's name
OTHER_TOKEN = "security-token"  # noqa: S105
"""Where one of the vendor's SDKs puts the token with signature V1. It is not signed there."""

TokenHeaders = tuple[tuple[tuple[str, str], ...], tuple[str, ...]]
"""What is set, and what is removed."""
_ENDPOINT = (
    r"(?:oss-[a-z0-9-]+|oss-accelerate(?:-overseas)?|[a-z0-9-]+\.oss|[a-z0-9-]+\.[a-z0-9-]+\.oss-cloudbox(?:-control)?)\.aliyuncs\.com"
)
_HOST = re.compile(rf"(?:(?P<bucket>[a-z0-9][a-z0-9-]{{1,61}}[a-z0-9])\.)??{_ENDPOINT}")


def resource(request: Request) -> bytes | None:
    """`/BUCKET/KEY` decoded, or `/KEY` where the host names no bucket; None where that cannot be told."""
    found = _HOST.fullmatch(request.host)
    if found is None:
        return None
    bucket = found["bucket"]
    path = decoded(path_of(request))
    return f"/{bucket}".encode() + path if bucket else path


def own_headers(request: Request, token: TokenHeaders) -> dict[str, str]:
    """The x-oss-* headers as they will be sent."""
    own = {name: value for name, value in request.headers if name.startswith("x-oss-")}
    written, removed = token
    return {name: value for name, value in (own | dict(written)).items() if name not in removed and name.startswith("x-oss-")}


def token_headers(credential: AliyunCredential, name: str = TOKEN) -> TokenHeaders:
    """The token stands in one header, and not in the other one too."""
    if credential.security_token is None:
        return (), (TOKEN, OTHER_TOKEN)
    return ((name, credential.security_token),), (OTHER_TOKEN if name == TOKEN else TOKEN,)
