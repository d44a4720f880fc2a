"""The scalar and list types that the kinds share, with the limits of the owners' schema.

Types are strict, as the API server is: `"80"` is no port and `80` is no string. Each pattern has a sentence that says in
plain words what it wants; `errors` shows that sentence instead of the regular expression.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Interval, MaxLen, MinLen
from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, Strict
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, core_schema

from crds import durations, names
from crds.base import custom, finding, gather
from crds.reasons import Reason

HEADER_NAME = r"^[A-Za-z0-9!#$%&'*+\-.^_|~]+$"
LOWER_HEADER_NAME = r"^[a-z0-9!#$%&'*+\-.^_|~]+$"
QUERY_NAME = r"^[A-Za-z0-9!$&'()*+,\-./:;=?@_~\[\]]+$"
SCHEME = r"^[a-zA-Z][a-zA-Z0-9+\-.]*$"
KEY = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"

REMEDIES = {
    HEADER_NAME: "a header name is made of letters, digits and !#$%&'*+-.^_|~ only",
    LOWER_HEADER_NAME: "write the header name in lower case; it is made of letters, digits and !#$%&'*+-.^_|~ only",
    QUERY_NAME: "a query parameter's name is made of letters, digits and !$&'()*+,-./:;=?@_~[] only",
    SCHEME: "a scheme starts with a letter, then letters, digits, +, - and .; write `https`, not `https://`",
    KEY: "use lower-case letters, digits and `-`, with a letter or digit first and last",
}

INT32_MAX = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Keyed:
    """Marks a list whose entries are told apart by one of their fields (Kubernetes' list type `map`)."""

    key: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(raw: Any, inner: core_schema.ValidatorFunctionWrapHandler) -> Any:
            return gather("list", self._duplicates(raw), lambda: inner(raw))

        return core_schema.no_info_wrap_validator_function(read, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [self.key]}

    def _duplicates(self, raw: Any) -> Iterator[InitErrorDetails]:
        seen: dict[str, int] = {}
        for index, entry in enumerate(raw if isinstance(raw, list | tuple) else ()):
            value = entry.get(self.key) if isinstance(entry, dict) else getattr(entry, self.key, None)
            if not isinstance(value, str):
                continue
            first = seen.setdefault(value, index)
            if first != index:
                message = f"entry [{first}] has the same `{self.key}`: each may be used once in this list"
                yield finding((index, self.key), Reason.DUPLICATE, message)


@dataclass(frozen=True, slots=True)
class Checked:
    """A syntax that only Python checks: `check` answers with what is wrong, or None. Leaves no trace in the CRD."""

    check: Any

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def judge(value: str) -> str:
            wrong = self.check(value)
            if wrong:
                raise custom(Reason.INVALID_VALUE, wrong)
            return value

        return core_schema.no_info_after_validator_function(judge, handler(source))


Str = Annotated[str, Strict()]
Bool = Annotated[bool, Strict()]
Int32 = Annotated[int, Strict(), Interval(ge=-INT32_MAX - 1, le=INT32_MAX), Field(json_schema_extra={"format": "int32"})]
Int64 = Annotated[int, Strict(), Field(json_schema_extra={"format": "int64"})]

Name253 = Annotated[Str, MinLen(1), MaxLen(253)]
Key63 = Annotated[Str, MinLen(1), MaxLen(63), Field(pattern=KEY)]
HeaderName = Annotated[Str, MinLen(1), MaxLen(256), Field(pattern=HEADER_NAME)]
LowerHeaderName = Annotated[Str, MinLen(1), MaxLen(256), Field(pattern=LOWER_HEADER_NAME)]
HeaderValue2048 = Annotated[Str, MaxLen(2048)]
StatusCode = Annotated[int, Strict(), Interval(ge=100, le=599), Field(json_schema_extra={"format": "int32"})]

Subdomain = Annotated[Str, Checked(names.subdomain)]
Namespace = Annotated[Str, Checked(names.dns_label)]
LabelKey = Annotated[Str, Checked(names.qualified)]
AnnotationKey = Annotated[Str, Checked(names.annotation_key)]
LabelValue = Annotated[Str, Checked(names.label_value)]
Labels = dict[LabelKey, LabelValue]
AnnotationMap = dict[AnnotationKey, Str]
StrMap = dict[Str, Str]

GoDuration = Annotated[Str, Checked(durations.audit_timeout)]
