"""The OpenAPI's older signature in the query string (RPC style, HMAC-SHA1): key id, token and signature are parameters.

All parameters are signed, those of a form in the body too: such a request can only be signed where its body is known. The
other parameters stay where they are, as they are written. Host and headers are not signed.
Described at help.aliyun.com/zh/sdk/product-overview/rpc-mechanism.
"""

from policy.aliyun.encoding import Pairs, encoded, hmac_sha1_base64, pairs, path_of, query_of
from policy.aliyun.values import AliyunCredential, Signed, Unsignable, Why
from policy.request import Request

MARKS = frozenset({b"Signature", b"SignatureMethod", b"AccessKeyId"})
"""By these, all of them in the query, such a request is known."""

OURS = frozenset({b"AccessKeyId", b"SecurityToken", b"Signature"})
FORM = "application/x-www-form-urlencoded"


def sign(request: Request, credential: AliyunCredential) -> Signed | Unsignable:
    query, form = pairs(query_of(request)), _form(request)
    if form is None or OURS & {name for name, _ in form}:
        return Unsignable(why=Why.BODY)
    said = dict(query)
    if said.get(b"SignatureMethod") != b"HMAC-SHA1" or said.get(b"SignatureType"):
        return Unsignable(why=Why.ALGORITHM)
    if not said.get(b"Timestamp"):
        return Unsignable(why=Why.DATE)
    added = _added(credential)
    kept = [(name, value) for name, value in query if name not in OURS]
    # Of one name in both places the SDKs sign the form's value. In order of name: `a=` before `a.1=`, which as text it is not.
    signed = dict(kept) | dict(added) | dict(form)
    text = "&".join(f"{encoded(name)}={encoded(value)}" for name, value in sorted(signed.items()))
    signature = hmac_sha1_base64(credential.access_key_secret + "&", f"{request.method}&%2F&{encoded(text.encode())}")
    return Signed(target=_target(request, [*added, (b"Signature", signature.encode())]))


def has_form(request: Request) -> bool:
    """Whether its body is one of parameters, as far as its headers tell: one whose length is not told may be there."""
    kind = (request.header("content-type") or "").partition(";")[0].strip().lower()
    length = request.header("content-length") or ("0" if request.method in {"GET", "HEAD"} else "unknown")
    return kind == FORM and length != "0"


def _form(request: Request) -> Pairs | None:
    """None: there is one, and it is not known."""
    if not has_form(request):
        return []
    return pairs(request.body.decode("latin-1")) if request.body else None


def _added(credential: AliyunCredential) -> Pairs:
    token = [(b"SecurityToken", credential.security_token.encode("latin-1"))] if credential.security_token is not None else []
    return [(b"AccessKeyId", credential.access_key_id.encode("latin-1")), *token]


def _target(request: Request, added: Pairs) -> str:
    pieces = [piece for piece in query_of(request).split("&") if piece and pairs(piece)[0][0] not in OURS]
    pieces += [f"{encoded(name)}={encoded(value)}" for name, value in added]
    return f"{path_of(request)}?{'&'.join(pieces)}"
