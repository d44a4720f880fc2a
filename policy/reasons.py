"""The stable reasons of the problems that compiling finds; documentation, alerts and tests refer to them by these names."""

from enum import StrEnum


class Reason(StrEnum):
    INVALID_DOMAIN = "InvalidDomain"
    INVALID_SCHEME = "InvalidScheme"
    INVALID_PATH = "InvalidPath"
    INVALID_REGEX = "InvalidRegex"
    INVALID_VALUE = "InvalidValue"
    INVALID_NAME = "InvalidName"
    INVALID_STATUS = "InvalidStatus"
    RESERVED_HEADER = "ReservedHeader"
    RESERVED_PRIORITY = "ReservedPriority"
    UNSUPPORTED_TEMPLATE = "UnsupportedTemplate"
    INVALID_EXPRESSION = "InvalidExpression"
    INVALID_TEMPLATE = "InvalidTemplate"
    INVALID_URL = "InvalidUrl"
    ENGINE_UNAVAILABLE = "EngineUnavailable"
    DUPLICATE = "Duplicate"
    CONFLICT = "Conflict"

    UNREACHABLE_ACTION = "UnreachableAction"
    UNREACHABLE_PATH = "UnreachablePath"
    UNUSED_TOKEN = "UnusedToken"  # noqa: S105 — a reason, no secret
    NO_SANDBOX_TOKEN = "NoSandboxToken"  # noqa: S105
    NOT_INSPECTED = "NotInspected"
    ORDER_SENSITIVE = "OrderSensitive"

    INVALID_CREDENTIAL = "InvalidCredential"
    SECRET_NOT_FOUND = "SecretNotFound"  # noqa: S105
    SECRET_KEY_NOT_FOUND = "SecretKeyNotFound"  # noqa: S105
    REF_NOT_GRANTED = "RefNotGranted"
    HOST_NOT_ALLOWED = "HostNotAllowed"
    CONFIG_MAP_NOT_FOUND = "ConfigMapNotFound"
