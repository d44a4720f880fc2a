"""Answers that Envoy gives by itself, brought into the shape of every other refusal.

The credential injector answers a missing value with 401, which would look like the upstream's word: it becomes 503. A name
that does not resolve to a public address becomes 403 with the reason. What never became a request that a route could be
looked up for keeps Envoy's status and gets the body. What ext-proc answers is its own and stays as it is.
"""

from dataplane.external import External
from dataplane.refusals import standard_body
from dataplane.xds import Resource, extension

MALFORMED = "MalformedRequest"
UNDECIDED = "ExtProcUnavailable"
ENVOYS = "response.code_details != 'direct_response' && !response.code_details.startsWith('groyne_')"
"""A status that neither a route nor ext-proc chose."""
REPLIES = (
    ("response.code_details == 'failed_to_inject_credential'", 503, "CredentialUnavailable"),
    ("response.code_details.startsWith('dns_resolution_failure')", 403, "AddressRefused"),
    ("response.code_details == 'lua_response' && response.code == 421", 421, "HostMismatch"),
    ("response.code_details == 'upgrade_failed'", 403, "UpgradeRefused"),
    ("response.code_details == 'request_header_timeout'", 408, "RequestTimeout"),
    (f"(response.code == 431 && {ENVOYS}) || response.code_details.contains('too_large')", None, "RequestTooLarge"),
    (f"(response.code in [400, 404, 426, 501]) && {ENVOYS}", None, MALFORMED),
)
NO_DECISION = (
    "response.code_details.startsWith('ext_proc_error') || response.code_details.startsWith('rbac_access_denied')"
    " || response.code_details.startsWith('header_mutation_') || response.code_details == 'spurious_message'"
)
"""ext-proc failed, was too slow, ended its stream without an answer, or answered what it may not."""


def local_replies(external: External | None = None) -> Resource:
    undecided = [(NO_DECISION, external.settings.status_on_error, UNDECIDED)] if external else []
    return {"mappers": [mapper(expression, status, reason) for expression, status, reason in (*undecided, *REPLIES)]}


def mapper(expression: str, status: int | None, reason: str) -> Resource:
    cel = extension("cel", "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter", expression=expression)
    return {
        "filter": {"extension_filter": cel},
        **({"status_code": status} if status else {}),
        "body_format_override": {"json_format": standard_body(reason)},
    }
