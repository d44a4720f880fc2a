"""Conditions of a rule: one entry's fields are ANDed, the values inside one field are ORed (headers and query: ANDed).

Hosts, paths and regular expressions stay text here; `policy` gives them meaning and refuses what does not compile.
"""

from typing import Annotated, Literal

from annotated_types import Interval, MaxLen, MinLen
from pydantic import Field, Strict

from crds.base import Model
from crds.fields import QUERY_NAME, SCHEME, HeaderName, Str

MatchType = Literal["Prefix", "Exact", "Regex"]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"]
Port = Annotated[int, Strict(), Interval(ge=1, le=65535), Field(json_schema_extra={"format": "int32"})]
Scheme = Annotated[Str, MinLen(1), MaxLen(32), Field(pattern=SCHEME)]
QueryName = Annotated[Str, MinLen(1), MaxLen(256), Field(pattern=QUERY_NAME)]
Value512 = Annotated[Str, MinLen(1), MaxLen(512)]


class PathMatch(Model):
    """A condition on the path, without its query."""

    type: MatchType = "Prefix"
    """How `value` is compared. Prefix is a plain string prefix: `/api` matches `/apifoo` too."""
    value: Annotated[Str, MinLen(1), MaxLen(256)]
    """The path, its beginning, or an RE2 expression that is searched in it."""


class HeaderMatch(Model):
    """A condition on one request header. A header that is not there does not match."""

    name: HeaderName
    """The header's name; case does not matter."""
    type: MatchType = "Exact"
    """How `value` is compared."""
    value: Value512
    """The value, its beginning, or an RE2 expression that is searched in it."""


class QueryParamMatch(Model):
    """A condition on the first occurrence of one query parameter, percent-decoded."""

    name: QueryName
    """The parameter's name; case matters."""
    type: MatchType = "Exact"
    """How `value` is compared."""
    value: Value512
    """The value, its beginning, or an RE2 expression that is searched in it."""


class RuleMatch(Model):
    """What a request must look like: every field that is set must match."""

    domains: Annotated[tuple[Str, ...], MinLen(1)]
    """Hosts: `*` is any, `*.example.com` any below but not the apex, otherwise the whole host. One of them must match."""
    paths: tuple[PathMatch, ...] = ()
    """Paths, one of which must match."""
    methods: tuple[Method, ...] = ()
    """HTTP methods, one of which must match."""
    ports: tuple[Port, ...] = ()
    """Destination ports, one of which must match; 80 for http and 443 for https unless the authority names one."""
    schemes: tuple[Scheme, ...] = ()
    """Schemes such as http or https, one of which must match; case does not matter."""
    headers: tuple[HeaderMatch, ...] = ()
    """Headers, all of which must match."""
    query_params: tuple[QueryParamMatch, ...] = ()
    """Query parameters, all of which must match."""
