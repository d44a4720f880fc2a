"""What is refused before any rule: requests that can be read in two ways, hosts that must not be dialled, leaked placeholders.

The same checks stand first in every virtual host, in an order in which the cheap ones come first.
"""

from collections.abc import Iterator

from dataplane import names, refusals
from dataplane.entries import Context, Entry
from dataplane.hosts import virtual_host_domain
from dataplane.literals import NOT_PUBLIC_LITERAL
from dataplane.matching import port_condition, quoted
from dataplane.predicates import Predicate, all_of, any_of, header, header_regex, negation
from policy.authority import LABEL, PORT, VALID_AUTHORITY
from policy.domains import DomainPattern
from policy.paths import AMBIGUOUS_ESCAPED, AMBIGUOUS_PATH


def guards(pattern: DomainPattern, context: Context) -> Iterator[Entry]:
    yield Entry(condition=malformed_authority(pattern), action=refusals.anyhow("MalformedHost", 400))
    yield Entry(condition=ambiguous_path(), action=refusals.builtin("AmbiguousPath", 400))
    if not context.escaped_slashes(pattern):
        yield Entry(condition=any_of(escaped_slash()), action=refusals.builtin("EscapedSlash", 400))
    else:
        yield Entry(condition=header_regex(names.PATH_HEADER, AMBIGUOUS_ESCAPED), action=refusals.builtin("EscapedSlash", 400))
    if pattern.is_any or (pattern.is_ip and pattern.text not in context.allowed_literals):
        yield Entry(condition=private_literal(context), action=refusals.anyhow("AddressRefused", 403))
    if ports := context.pinned_ports.get(pattern.text):
        other = negation(port_condition(ports, context.scheme))
        yield Entry(condition=other, action=refusals.anyhow("AddressRefused", 403))
    yield from placeholder_guards(pattern, context)


def malformed_authority(pattern: DomainPattern) -> Predicate:
    """Short regexes where the pattern leaves little to check: there may be thousands of virtual hosts."""
    if pattern.is_any:
        return negation(header_regex(":authority", VALID_AUTHORITY))
    labels = rf"(?:{LABEL}\.)+" if pattern.is_wildcard else ""
    host = "".join(quoted(character) for character in virtual_host_domain(pattern).removeprefix("*."))
    invalid = negation(header_regex(":authority", rf"(?i){labels}{host}(?::{PORT})?"))
    if pattern.is_wildcard:
        return invalid
    return all_of((negation(header(":authority", exact=virtual_host_domain(pattern), ignore_case=True)), invalid))


def ambiguous_path() -> Predicate:
    """What leads to the regex is cheap: nearly no request has either."""
    suspicious = any_of((header(names.PATH_HEADER, exact="//"), header(names.PATH_HEADER, contains=";")))
    return all_of((suspicious, header_regex(names.PATH_HEADER, AMBIGUOUS_PATH)))


def escaped_slash() -> Iterator[Predicate]:
    for spelling in ("%2f", "%5c"):
        yield header(names.PATH_HEADER, contains=spelling, ignore_case=True)


def private_literal(context: Context) -> Predicate:
    allowed = [header_regex(":authority", rf"(?i)\[?{literal_regex(text)}\]?(?::[0-9]+)?") for text in sorted(context.allowed_literals)]
    return all_of((header_regex(":authority", NOT_PUBLIC_LITERAL), negation(any_of(allowed))))


def literal_regex(text: str) -> str:
    return text.replace(".", r"\.")


def placeholder_guards(pattern: DomainPattern, context: Context) -> Iterator[Entry]:
    for guard in context.guards:
        at_home = any(host.covers(pattern) for host in guard.hosts)
        places = [header(":path", contains=guard.placeholder)]
        if not at_home:
            places += [header(name, contains=guard.placeholder) for name in guard.headers]
        yield Entry(condition=any_of(places), action=refusals.anyhow("PlaceholderMisused", 403))
