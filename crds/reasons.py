"""The stable reasons that a parsed object's problems carry. Documentation and tests refer to them by these names."""

from enum import StrEnum


class Reason(StrEnum):
    UNKNOWN_FIELD = "UnknownField"
    MISSING_FIELD = "MissingField"
    INVALID_TYPE = "InvalidType"
    INVALID_VALUE = "InvalidValue"
    INVALID_ENUM = "InvalidEnum"
    TOO_LONG = "TooLong"
    TOO_FEW = "TooFew"
    DUPLICATE = "Duplicate"
    CONFLICT = "Conflict"
    UNKNOWN_KIND = "UnknownKind"
    UNSUPPORTED_VERSION = "UnsupportedVersion"
    UNKNOWN_ANNOTATION = "UnknownAnnotation"
    MISPLACED_ANNOTATION = "MisplacedAnnotation"
    TOO_MANY_PROBLEMS = "TooManyProblems"
