"""Answers that Envoy gives by itself, brought into the shape of every other refusal.

The credential injector answers a missing value with 401, which would look like the upstream's word: it becomes 503. A name
that does not resolve to a public address becomes 403 with the reason.
"""

from dataplane.refusals import standard_body
from dataplane.xds import Resource, extension

REPLIES = (
    ("response.code_details == 'failed_to_inject_credential'", 503, "CredentialUnavailable"),
    ("response.code_details.startsWith('dns_resolution_failure')", 403, "AddressRefused"),
)


def local_replies() -> Resource:
    return {"mappers": [mapper(expression, status, reason) for expression, status, reason in REPLIES]}


def mapper(expression: str, status: int, reason: str) -> Resource:
    cel = extension("cel", "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter", expression=expression)
    return {
        "filter": {"extension_filter": cel},
        "status_code": status,
        "body_format_override": {"json_format": standard_body(reason)},
    }
