"""Field paths: where in an object a problem sits, as text that people read and tools can split again.

List entries are `[2]`; map keys that are no plain words are quoted: `metadata.annotations["groyne.dev/ca-secret"]`.
`render` and `split` are each other's inverse, so that whoever knows a file's lines can find the field there.
"""

import json
import re
from collections.abc import Sequence

Part = str | int

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_PIECE = re.compile(r'\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]|\.?([A-Za-z_][A-Za-z0-9_-]*)')
_LONGEST_KEY = 80


def render(parts: Sequence[Part]) -> str:
    """The path as text; a key of absurd length is cut, since a path is read by people."""
    text = "".join(_render_part(part) for part in parts)
    return text.removeprefix(".")


def split(path: str) -> tuple[Part, ...]:
    """The parts of a rendered path."""
    return tuple(_split_piece(piece) for piece in _PIECE.finditer(path))


def shorten(text: str) -> str:
    """The text as it can be shown: cut, and without characters that a terminal would obey."""
    cut = text if len(text) <= _LONGEST_KEY else f"{text[:_LONGEST_KEY]}…"
    return cut if cut.isprintable() else json.dumps(cut)[1:-1]


def _render_part(part: Part) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    if _PLAIN.match(part) and len(part) <= _LONGEST_KEY:
        return f".{part}"
    key = part if len(part) <= _LONGEST_KEY else f"{part[:_LONGEST_KEY]}…"
    return f"[{json.dumps(key, ensure_ascii=not key.isprintable())}]"


def _split_piece(piece: re.Match[str]) -> Part:
    index, quoted, plain = piece.groups()
    if index is not None:
        return int(index)
    return str(json.loads(quoted)) if quoted is not None else plain
