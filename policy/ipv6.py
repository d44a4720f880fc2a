"""The one spelling of an IPv6 address (RFC 5952), as an RE2 pattern.

Envoy finds a virtual host by the text of the host line, so `[2001:db8:0::1]` would slip past a rule for `2001:db8::1`. No
regular expression can compare addresses, but one can say what the canonical spelling looks like: no leading zeros, no
dotted tail, `::` for the longest run of two or more zero groups, the first of equal ones. What is spelled otherwise is no host.
"""

from collections.abc import Iterable

GROUPS = 8
NOT_ZERO = "[1-9A-Fa-f][0-9A-Fa-f]{0,3}"
ANY = f"(?:0|{NOT_ZERO})"


def canonical_ipv6() -> str:
    """A full match on the address without brackets; case does not matter."""
    return _pattern(sorted(_shape([bool(mask >> group & 1) for group in range(GROUPS)]) for mask in range(1 << GROUPS)))


def _shape(zero: list[bool]) -> str:
    """The canonical spelling of addresses with these groups zero; `N` stands for a group that is not."""
    groups = ["0" if each else "N" for each in zero]
    runs = [(end - start, -start) for start in range(GROUPS) for end in range(start, GROUPS + 1) if all(zero[start:end])]
    length, start = max(runs)
    if length < 2:
        return ":".join(groups)
    return ":".join(groups[:-start]) + "::" + ":".join(groups[length - start :])


def _pattern(shapes: Iterable[str]) -> str:
    """Their alternation, with common beginnings and equal endings written once."""
    following: dict[str, list[str]] = {}
    for shape in shapes:
        following.setdefault(shape[:1], []).append(shape[1:])
    ends = following.pop("", None) is not None
    endings: dict[str, list[str]] = {}
    for kind, rest in following.items():
        endings.setdefault(_pattern(rest), []).append(kind)
    if not endings:
        return ""
    alternatives = [_group(kinds) + ending for ending, kinds in endings.items()]
    return alternatives[0] if len(alternatives) == 1 and not ends else f"(?:{'|'.join(alternatives)}){'?' * ends}"


def _group(kinds: list[str]) -> str:
    if set(kinds) == {"0", "N"}:
        return ANY
    return f"(?:{'|'.join(map(_one, kinds))})" if len(kinds) > 1 else _one(kinds[0])


def _one(kind: str) -> str:
    return NOT_ZERO if kind == "N" else kind
