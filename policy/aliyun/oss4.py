"""OSS4-HMAC-SHA256: object storage's current signature (V4), in the Authorization header.

Region and product come from the placeholder's own Credential, the day from x-oss-date. Signed are content-type, content-md5, all
x-oss-* headers and those that the client listed as additional. The body is not: the vendor knows only UNSIGNED-PAYLOAD there.
Described at help.aliyun.com/zh/oss/developer-reference/recommend-to-use-signature-version-4.
"""

import re

from policy.aliyun import oss
from policy.aliyun.encoding import encoded, hmac_sha256, lines, pairs, query_of, sha256_hex
from policy.aliyun.values import AliyunCredential, Signed, Unsignable, Why
from policy.request import Request

ALGORITHM = "OSS4-HMAC-SHA256"
BODY_HASH = "x-oss-content-sha256"
UNSIGNED = "UNSIGNED-PAYLOAD"
LAST = "aliyun_v4_request"
_SCOPE = re.compile(r"Credential=[^,/\s]*/\d{8}/(?P<region>[a-z0-9-]+)/(?P<product>[a-z0-9-]+)/" + LAST, re.ASCII)
_ADDITIONAL = re.compile(r"AdditionalHeaders=(?P<names>[^,\s]*)")
_DATE = re.compile(r"\d{8}T\d{6}Z", re.ASCII)


def sign(request: Request, credential: AliyunCredential) -> Signed | Unsignable:
    authorization, date = request.header("authorization") or "", request.header("x-oss-date") or ""
    scope, resource = _SCOPE.search(authorization), oss.resource(request)
    if not _DATE.fullmatch(date):
        return Unsignable(why=Why.DATE)
    if scope is None:
        return Unsignable(why=Why.SCOPE)
    if resource is None:
        return Unsignable(why=Why.BUCKET)
    if (request.header(BODY_HASH) or UNSIGNED) != UNSIGNED:
        return Unsignable(why=Why.BODY_HASH)
    parts = (date[:8], scope["region"], scope["product"], LAST)
    additional = _additional(request, authorization)
    token = written, removed = oss.token_headers(credential)
    canonical = _canonical(request, token, resource, additional)
    text = f"{ALGORITHM}\n{date}\n{'/'.join(parts)}\n{sha256_hex(canonical)}"
    listed = f",AdditionalHeaders={';'.join(additional)}" if additional else ""
    value = f"{ALGORITHM} Credential={credential.access_key_id}/{'/'.join(parts)}{listed},Signature={_signature(credential, parts, text)}"
    return Signed(set_headers=(*written, (BODY_HASH, UNSIGNED), ("authorization", value)), remove_headers=removed)


def _canonical(request: Request, token: oss.TokenHeaders, resource: bytes, additional: tuple[str, ...]) -> str:
    signed = oss.own_headers(request, token) | {BODY_HASH: UNSIGNED}
    for name in ("content-type", "content-md5", *additional):
        if (value := request.header(name)) is not None:
            signed[name] = value
    query = sorted((encoded(name), encoded(value)) for name, value in pairs(query_of(request)))
    text = "&".join(f"{name}={value}" if value else name for name, value in query)
    return "\n".join((request.method, encoded(resource, slashes=True), text, lines(signed), ";".join(additional), UNSIGNED))


def _additional(request: Request, authorization: str) -> tuple[str, ...]:
    """What the client listed, as far as it is there and not signed in any case."""
    found = _ADDITIONAL.search(authorization)
    names = {name.lower() for name in found["names"].split(";")} if found else set()
    always = {name for name in names if name.startswith("x-oss-") or name in {"content-type", "content-md5"}}
    return tuple(sorted(name for name in names - always if request.header(name)))


def _signature(credential: AliyunCredential, parts: tuple[str, ...], text: str) -> str:
    key = f"aliyun_v4{credential.access_key_secret}".encode("latin-1")
    for part in parts:
        key = hmac_sha256(key, part)
    return hmac_sha256(key, text).hex()
