"""`Authorization: acs KEY:SIGNATURE`: the OpenAPI's older signature for resources (ROA style, HMAC-SHA1).

Signed are the method, four headers as they came, the x-acs-* headers and the target with its query decoded. The host and the
body are not (the body only by a Content-MD5 that the client may give); the vendor stopped developing it, but serves it.
Described at help.aliyun.com/zh/sdk/product-overview/roa-mechanism.
"""

from policy.aliyun.acs3 import token_headers
from policy.aliyun.encoding import hmac_sha1_base64, lines, pairs, path_of, query_of
from policy.aliyun.values import AliyunCredential, Signed, Unsignable, Why
from policy.request import Request

IN_ORDER = ("accept", "content-md5", "content-type", "date")


def sign(request: Request, credential: AliyunCredential) -> Signed | Unsignable:
    if (request.header("x-acs-signature-method") or "HMAC-SHA1") != "HMAC-SHA1" or request.header("x-acs-signature-type"):
        return Unsignable(why=Why.ALGORITHM)
    if not request.header("date"):
        return Unsignable(why=Why.DATE)
    written, removed = token_headers(credential)
    own = {name: value for name, value in request.headers if name.startswith("x-acs-") and name not in removed} | dict(written)
    first = "\n".join((request.method, *(request.header(name) or "" for name in IN_ORDER)))
    signature = hmac_sha1_base64(credential.access_key_secret, f"{first}\n{lines(own)}{resource(request)}")
    return Signed(set_headers=(*written, ("authorization", f"acs {credential.access_key_id}:{signature}")), remove_headers=removed)


def resource(request: Request) -> str:
    """The path as it stands, the query decoded and in order of name; an empty value loses its `=`."""
    query = sorted((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs(query_of(request)))
    text = "&".join(f"{name}={value}" if value else name for name, value in query)
    return f"{path_of(request)}?{text}" if text else path_of(request)
