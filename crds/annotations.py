"""What is ours on other people's kinds: annotations `groyne.dev/…`, which survive the owners' CRDs where fields would not.

`read` turns an object's annotations into values; `problems` says what is wrong with them. A value that cannot be read
fails closed: an unreadable pin allows no host, an unreadable grant grants nothing. Host patterns are only looked over here,
their meaning is `policy`'s.
"""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from crds import names
from crds.nearest import nearest
from crds.paths import render, shorten
from crds.problem import Problem
from crds.reasons import Reason

PREFIX = "groyne.dev/"

OUR_LABELS = {"app.kubernetes.io/managed-by": "groyne"}
"""Tells our objects from those that agent-sandbox's own controller makes under the same name."""

CA_SECRET = "groyne.dev/ca-secret"  # noqa: S105 — a key, no secret
"""On a SandboxTemplate or profile: the name of a Secret in its namespace with `tls.crt` and `tls.key`, one's own CA.

Intercepted connections show certificates that it signed instead of those of a CA that Groyne makes. Example: `company-ca`.
"""

PASSTHROUGH_DOMAINS = "groyne.dev/passthrough-domains"
"""On a SandboxTemplate or profile: host patterns, separated by commas, that are never intercepted.

Their TLS stays end-to-end; only the host name is judged. Example: `*.bank.example, pypi.org`.
"""

ALLOW_ESCAPED_SLASHES = "groyne.dev/allow-escaped-slashes"
"""On a profile: host patterns, separated by commas, whose paths may hold `%2f` and `%5c`, which are refused elsewhere.

Blocks on these hosts also match the unescaped form. Example: `registry.npmjs.org`.
"""

ALLOWED_HOSTS = "groyne.dev/allowed-hosts"
"""On a Secret: host patterns, separated by commas, to which its credentials may go, whatever a profile says.

Example: `api.openai.com, *.openai.azure.com`.
"""

GRANT_TO = "groyne.dev/grant-to"
"""On a Secret: namespaces, separated by commas, whose profiles may use it; `*` is every namespace.

Profiles of its own namespace need no grant. Example: `team-a, team-b`.
"""

VALUE_FROM = "groyne.dev/value-from."
"""On a Secret, followed by one of its keys: where that key's value comes from on a laptop.

`env:NAME` an environment variable, `file:PATH` a file, `exec:COMMAND` the output of a command. No cluster reads it.
Example: `groyne.dev/value-from.apiKey: "exec:op read op://dev/openai/key"`.
"""

_PROFILES = frozenset({"SecurityProfile", "GlobalSecurityProfile"})
_BELONGS: Mapping[str, frozenset[str]] = {
    CA_SECRET: _PROFILES | {"SandboxTemplate"},
    PASSTHROUGH_DOMAINS: _PROFILES | {"SandboxTemplate"},
    ALLOW_ESCAPED_SLASHES: _PROFILES,
    ALLOWED_HOSTS: frozenset({"Secret"}),
    GRANT_TO: frozenset({"Secret"}),
    VALUE_FROM: frozenset({"Secret"}),
}

_HOST = re.compile(r"(\*\.)?[A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?)*\.?\Z")
_IPV6 = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*)\Z")
_LONGEST_HOST = 255
_LONGEST_SOURCE = 4096
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class Source(StrEnum):
    ENV = "env"
    FILE = "file"
    EXEC = "exec"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueFrom:
    """Where one key of a Secret comes from on a laptop: a variable's name, a path, or a command line."""

    source: Source
    argument: str

    @property
    def command(self) -> tuple[str, ...]:
        """The command and its arguments, split as a shell would; no shell runs it."""
        return tuple(shlex.split(self.argument))


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """Every annotation of ours, read. `allowed_hosts` None pins nothing; an empty tuple allows no host at all."""

    ca_secret: str | None = None
    passthrough_domains: tuple[str, ...] = ()
    allow_escaped_slashes: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] | None = None
    grant_to: tuple[str, ...] = ()
    value_from: Mapping[str, ValueFrom] = field(default_factory=dict)

    def grants(self, namespace: str) -> bool:
        return "*" in self.grant_to or namespace in self.grant_to


def read(annotations: Mapping[str, str]) -> Annotations:
    """The values, whatever the object; what cannot be read is left at its closed value."""
    ca = _value(parse_secret_name, annotations.get(CA_SECRET))
    pins = annotations.get(ALLOWED_HOSTS)
    sources = {key.removeprefix(VALUE_FROM): _value(parse_value_from, text) for key, text in annotations.items() if _is_source(key)}
    return Annotations(
        ca_secret=ca,
        passthrough_domains=_value(parse_hosts, annotations.get(PASSTHROUGH_DOMAINS)) or (),
        allow_escaped_slashes=_value(parse_hosts, annotations.get(ALLOW_ESCAPED_SLASHES)) or (),
        allowed_hosts=None if pins is None else _value(parse_hosts, pins) or (),
        grant_to=_value(parse_namespaces, annotations.get(GRANT_TO)) or (),
        value_from={key: value for key, value in sources.items() if value is not None},
    )


def problems(kind: str, annotations: Mapping[str, str]) -> Iterator[Problem]:
    """What is wrong with the annotations of an object of this kind; fields are relative to the object."""
    for key, text in annotations.items():
        if key.startswith(PREFIX):
            place = render(("metadata", "annotations", key))
            yield from (problem.below(place) for problem in _judge(kind, key, text))


def parse_hosts(text: str) -> tuple[str, ...] | Problem:
    """Host patterns separated by commas: `*`, `*.suffix`, a host, or an IP address; no scheme, port or path."""
    hosts = _split(text)
    if not hosts:
        return _invalid("names no host: list host patterns, separated by commas, or remove the annotation")
    if not all(_is_host(host) for host in hosts):
        return _invalid("list host patterns such as `api.example.com` or `*.example.com`, without scheme, port or path")
    return hosts


def parse_namespaces(text: str) -> tuple[str, ...] | Problem:
    """Namespaces separated by commas, or `*`."""
    namespaces = _split(text)
    if not namespaces:
        return _invalid("names no namespace: list namespaces, separated by commas, write `*`, or remove the annotation")
    if any(namespace != "*" and names.dns_label(namespace) for namespace in namespaces):
        return _invalid("list names of namespaces, separated by commas, or write `*` for all")
    return namespaces


def parse_secret_name(text: str) -> str | Problem:
    wrong = names.subdomain(text)
    return _invalid(f"name a Secret in the same namespace: {wrong}") if wrong else text


def parse_value_from(text: str) -> ValueFrom | Problem:
    """`env:NAME`, `file:PATH` or `exec:COMMAND`."""
    word, colon, argument = text.partition(":")
    argument = argument.strip()
    if not colon or word not in set(Source):
        return _invalid("write `env:NAME`, `file:PATH` or `exec:COMMAND`")
    source = Source(word)
    wrong = _wrong_argument(source, argument)
    return _invalid(wrong) if wrong else ValueFrom(source=source, argument=argument)


def _wrong_argument(source: Source, argument: str) -> str | None:
    if len(argument) > _LONGEST_SOURCE:
        return f"`{source}:` may be followed by {_LONGEST_SOURCE} characters: use a script or a shorter path"
    if not argument or "\0" in argument:
        return f"`{source}:` must be followed by what to read"
    if source is Source.ENV and not _VARIABLE.match(argument):
        return "`env:` must be followed by the name of a variable, made of letters, digits and `_`"
    if source is Source.EXEC:
        try:
            words = shlex.split(argument)
        except ValueError:
            return "the command has a quote or a backslash that is not closed"
        return None if words and words[0] else "`exec:` must be followed by a command"
    return None


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    CA_SECRET: parse_secret_name,
    PASSTHROUGH_DOMAINS: parse_hosts,
    ALLOW_ESCAPED_SLASHES: parse_hosts,
    ALLOWED_HOSTS: parse_hosts,
    GRANT_TO: parse_namespaces,
    VALUE_FROM: parse_value_from,
}


def _judge(kind: str, key: str, text: str) -> Iterator[Problem]:
    known = VALUE_FROM if _is_source(key) else key
    if known not in _PARSERS or key == VALUE_FROM:
        meant = nearest(key.removeprefix(PREFIX), [name.removeprefix(PREFIX) for name in _PARSERS])
        hint = f": did you mean `{PREFIX}{meant}`?" if meant else ": it is not one of ours and has no effect"
        message = f"unknown annotation `{shorten(key)}`{hint}"
        yield Problem(reason=Reason.UNKNOWN_ANNOTATION.value, message=message, fatal=False)
        return
    if kind not in _BELONGS[known]:
        message = f"this annotation has no effect on a {kind}: it belongs on {_any_of(_BELONGS[known])}"
        yield Problem(reason=Reason.MISPLACED_ANNOTATION.value, message=message, fatal=False)
        return
    value = _PARSERS[known](text)
    if isinstance(value, Problem):
        yield value


def _is_source(key: str) -> bool:
    return key.startswith(VALUE_FROM) and key != VALUE_FROM


def _any_of(kinds: frozenset[str]) -> str:
    return " or ".join(f"a {kind}" for kind in sorted(kinds))


def _is_host(text: str) -> bool:
    return text == "*" or (len(text) <= _LONGEST_HOST and bool(_HOST.match(text) or _IPV6.match(text)))


def _split(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _invalid(message: str) -> Problem:
    return Problem(reason=Reason.INVALID_VALUE.value, message=message)


def _value(parse: Callable[[str], Any], text: str | None) -> Any:
    value = None if text is None else parse(text)
    return None if isinstance(value, Problem) else value
