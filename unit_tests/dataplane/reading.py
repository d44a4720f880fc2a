"""What a predicate says of a set of headers: a reading of Envoy's JSON that knows nothing of how it was made."""

from collections.abc import Mapping
from typing import Any

import re2

LATIN1 = re2.Options()
LATIN1.encoding = re2.Options.Encoding.LATIN1


def holds(predicate: Any, headers: Mapping[str, str]) -> bool:
    """`headers` are joined by name; text is Latin-1."""
    if isinstance(predicate, bool):
        return predicate
    ((kind, inner),) = predicate.items()
    match kind:
        case "and_matcher":
            return all(holds(each, headers) for each in inner["predicate"])
        case "or_matcher":
            return any(holds(each, headers) for each in inner["predicate"])
        case "not_matcher":
            return not holds(inner, headers)
        case "single_predicate":
            value = headers.get(inner["input"]["typed_config"]["header_name"])
            return value is not None and compares(inner["value_match"], value)
    raise AssertionError(kind)


def compares(match: Mapping[str, Any], value: str) -> bool:
    ((kind, wanted),) = ((key, item) for key, item in match.items() if key != "ignore_case")
    if kind == "safe_regex":
        return re2.fullmatch(latin1(wanted["regex"]), value.encode("latin-1"), LATIN1) is not None
    left, right = value.encode("latin-1"), latin1(wanted)
    if match.get("ignore_case"):
        left, right = left.lower(), right.lower()
    return {"exact": left == right, "prefix": left.startswith(right), "suffix": left.endswith(right), "contains": right in left}[kind]


def latin1(text: str) -> bytes:
    """JSON text for Envoy is UTF-8: the bytes are those that it stands for."""
    return text.encode("utf-8")


def picked(tree: Mapping[str, Any] | None, headers: Mapping[str, str]) -> Any:
    """The action of a matcher tree, None where nothing matches."""
    if tree is None:
        return None
    for entry in tree.get("matcher_list", {}).get("matchers", ()):
        if holds(entry["predicate"], headers):
            return leaf(entry["on_match"], headers)
    return leaf(tree["on_no_match"], headers) if "on_no_match" in tree else None


def leaf(on_match: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
    return on_match["action"] if "action" in on_match else picked(on_match["matcher"], headers)
