"""Which signature a request carries, and so which it gets.

The Authorization header decides where there is one, else the parameters of the query. No signer falls back to another.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from policy.aliyun import acs3, oss1, oss4, roa, rpc
from policy.aliyun.encoding import pairs, query_of
from policy.aliyun.values import AliyunCredential, Signed, Unsignable, Why
from policy.request import Request

Signer = Callable[[Request, AliyunCredential], Signed | Unsignable]
BY_SCHEME: Mapping[str, Signer] = {
    "acs3-hmac-sha256": acs3.sign,
    "acs": roa.sign,
    "oss4-hmac-sha256": oss4.sign,
    "oss": oss1.sign,
}
PRESIGNED = frozenset({b"x-oss-signature", b"x-oss-signature-version", b"x-oss-credential", b"OSSAccessKeyId"})


def sign(request: Request, credential: AliyunCredential) -> Signed | Unsignable:
    """`request` as it goes on. Where `needs_body` holds, its body must be there."""
    if not request.target.startswith("/"):
        return Unsignable(why=Why.TARGET)
    authorization = request.header("authorization")
    if authorization:
        scheme = authorization.partition(" ")[0].lower()
        if scheme in BY_SCHEME:
            return _tidy(BY_SCHEME[scheme](request, credential), request)
        return Unsignable(why=Why.ALGORITHM if scheme.startswith(("acs3-", "oss")) else Why.SCHEME)
    names = {name for name, _ in pairs(query_of(request))}
    if names >= rpc.MARKS:
        return rpc.sign(request, credential)
    return Unsignable(why=Why.PRESIGNED if names & PRESIGNED else _unsigned(request))


def _tidy(result: Signed | Unsignable, request: Request) -> Signed | Unsignable:
    """What is not there need not be removed."""
    if isinstance(result, Unsignable):
        return result
    return replace(result, remove_headers=tuple(name for name in result.remove_headers if request.header(name) is not None))


def _unsigned(request: Request) -> Why:
    """All parameters of an RPC request may stand in its body, the signature too, which nobody can exchange there."""
    return Why.BODY if rpc.has_form(request) else Why.UNSIGNED


def needs_body(request: Request) -> bool:
    """Whether the body is a part of what is signed: only a form of the RPC style is."""
    named = {name for name, _ in pairs(query_of(request))}
    return not request.header("authorization") and named >= rpc.MARKS and rpc.has_form(request)
