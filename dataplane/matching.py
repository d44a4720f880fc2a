"""One rule entry as a predicate on the request as it arrived.

The host is the virtual host's business and the scheme the listener's, so neither appears here. Paths are read from an
internal header without the query; ports from the authority, with the scheme's default where it names none.
"""

from collections.abc import Iterable

from dataplane import names
from dataplane.hosts import HostRule
from dataplane.predicates import Predicate, all_of, any_of, header, header_matches, header_regex, negation
from policy.program import Match, PathPattern, When

DEFAULT_PORTS = {"http": 80, "https": 443}
WITHOUT_PORT = r"[^:]*|\[[^\]]*\]"
ECHOING_METHODS = ("TRACE", "TRACK")


def rule_condition(host_rule: HostRule, scheme: str, *, unescape: bool = False) -> Predicate:
    """When the rule matches; `unescape` lets its paths also match what an escaped slash may be taken for."""
    return any_of(entry_condition(entry, scheme, unescape=unescape) for entry in host_rule.entries)


def entry_condition(entry: Match, scheme: str, *, unescape: bool = False) -> Predicate:
    return all_of(
        (
            any_of(path_condition(path, unescape=unescape) for path in entry.paths) if entry.paths else True,
            any_of(header(":method", exact=method, ignore_case=True) for method in entry.methods) if entry.methods else True,
            port_condition(entry.ports, scheme),
            *(header_matches(header_name(condition.name), condition.match) for condition in entry.headers),
            *(header_matches(parameter_header(condition.name), condition.match) for condition in entry.query),
        )
    )


def parameter_header(name: str) -> str:
    """Where `dataplane.query` has a parameter's value written: Envoy's route matchers read nothing but headers."""
    return f"{names.QUERY_HEADER}-{name.encode('latin-1').hex()}"


def header_name(name: str) -> str:
    """Envoy keeps the Host line as `:authority`."""
    return ":authority" if name == "host" else name


def path_condition(path: PathPattern, *, unescape: bool) -> Predicate:
    plain = header_matches(names.PATH_HEADER, path.match)
    return any_of((plain, header_matches(names.UNESCAPED_HEADER, path.match))) if unescape else plain


def quoted(character: str) -> str:
    """One Latin-1 character as RE2 text that means just it."""
    if character.isascii() and (character.isalnum() or character in "_-"):
        return character
    return rf"\x{{{ord(character):02x}}}"


def port_condition(ports: Iterable[int], scheme: str) -> Predicate:
    wanted = tuple(ports)
    if not wanted:
        return True
    explicit = [header(":authority", suffix=f":{port}") for port in wanted]
    implicit = [header_regex(":authority", WITHOUT_PORT)] if DEFAULT_PORTS.get(scheme) in wanted else []
    return any_of((*explicit, *implicit))


def credential_condition(condition: Predicate, when: When | None) -> Predicate:
    """When a credential is put in: never on methods that echo the request."""
    echoes = any_of(header(":method", exact=method, ignore_case=True) for method in ECHOING_METHODS)
    asked = header_matches(header_name(when.header), when.match) if when else True
    filled = header_regex(header_name(when.header), r"\C+") if when else True
    return all_of((condition, asked, filled, negation(echoes)))


def headers_read(host_rule: HostRule) -> frozenset[str]:
    """The request headers that a rule's conditions read."""
    read = {condition.name for entry in host_rule.entries for condition in entry.headers}
    if host_rule.rule.token and host_rule.rule.token.when:
        read.add(host_rule.rule.token.when.header)
    return frozenset(read)
