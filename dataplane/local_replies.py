"""Answers that Envoy gives by itself, brought into the shape of every other refusal.

The credential injector answers a missing value with 401, which would look like the upstream's word: it becomes 503. A name
that does not resolve to a public address becomes 403 with the reason. What never became a request that a route could be
looked up for keeps Envoy's status and gets the body.
"""

from dataplane.refusals import standard_body
from dataplane.xds import Resource, extension

MALFORMED = "MalformedRequest"
REPLIES = (
    ("response.code_details == 'failed_to_inject_credential'", 503, "CredentialUnavailable"),
    ("response.code_details.startsWith('dns_resolution_failure')", 403, "AddressRefused"),
    ("response.code_details == 'lua_response' && response.code == 421", 421, "HostMismatch"),
    ("response.code_details == 'upgrade_failed'", 403, "UpgradeRefused"),
    ("response.code_details == 'request_header_timeout'", 408, "RequestTimeout"),
    ("response.code == 431 || response.code_details.contains('too_large')", None, "RequestTooLarge"),
    ("(response.code in [400, 404, 426, 501]) && response.code_details != 'direct_response'", None, MALFORMED),
)


def local_replies() -> Resource:
    return {"mappers": [mapper(expression, status, reason) for expression, status, reason in REPLIES]}


def mapper(expression: str, status: int | None, reason: str) -> Resource:
    cel = extension("cel", "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter", expression=expression)
    return {
        "filter": {"extension_filter": cel},
        **({"status_code": status} if status else {}),
        "body_format_override": {"json_format": standard_body(reason)},
    }
