"""ACS3-HMAC-SHA256: the OpenAPI's signature V3, for RPC and ROA style alike.

Signed are host, content-type and all x-acs-* headers, which the vendor asks for, and what else the client had listed, if no proxy
writes it. The body is signed by its digest, which the client names and the vendor compares: whoever sends
another body is refused there, and whoever may send this body to this host anyway has gained nothing.
Described at help.aliyun.com/zh/sdk/product-overview/v3-request-structure-and-signature.
"""

import re

from policy.aliyun.encoding import encoded, hmac_sha256, lines, pairs, path_of, query_of, sha256_hex
from policy.aliyun.values import AliyunCredential, Signed, Unsignable, Why
from policy.headers import is_written_by_proxy
from policy.request import Request

ALGORITHM = "ACS3-HMAC-SHA256"
BODY_HASH = "x-acs-content-sha256"
_HASH = re.compile(r"[0-9a-f]{64}")
_LISTED = re.compile(r"SignedHeaders=(?P<names>[^,\s]*)")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


def sign(request: Request, credential: AliyunCredential) -> Signed | Unsignable:
    if not _DATE.fullmatch(request.header("x-acs-date") or ""):
        return Unsignable(why=Why.DATE)
    body_hash = request.header(BODY_HASH) or ""
    if not _HASH.fullmatch(body_hash):
        return Unsignable(why=Why.BODY_HASH)
    written, removed = token_headers(credential)
    listed = _listed(request)
    signed = {name: value for name, value in request.headers if name.startswith("x-acs-") or name in listed}
    signed = {name: value for name, value in signed.items() if name not in removed} | dict(written) | {"host": request.authority}
    names = ";".join(sorted(signed))
    canonical = "\n".join((request.method, path_of(request) or "/", canonical_query(query_of(request)), lines(signed), names, body_hash))
    signature = hmac_sha256(credential.access_key_secret.encode("latin-1"), f"{ALGORITHM}\n{sha256_hex(canonical)}").hex()
    value = f"{ALGORITHM} Credential={credential.access_key_id},SignedHeaders={names},Signature={signature}"
    return Signed(set_headers=(*written, ("authorization", value)), remove_headers=removed)


def _listed(request: Request) -> set[str]:
    found = _LISTED.search(request.header("authorization") or "")
    names = {name.lower() for name in found["names"].split(";")} if found else set()
    return {name for name in names | {"content-type"} if not is_written_by_proxy(name) and name not in {"authorization", "content-length"}}


def token_headers(credential: AliyunCredential) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """What is set and what is removed, for both styles whose signature is a header."""
    names = ("x-acs-accesskey-id", "x-acs-security-token")
    if credential.security_token is None:
        return (), names
    return tuple(zip(names, (credential.access_key_id, credential.security_token), strict=True)), ()


def canonical_query(query: str) -> str:
    """In order of name, by its bytes; an empty value keeps its `=`."""
    return "&".join(f"{encoded(name)}={encoded(value)}" for name, value in sorted(pairs(query)))
