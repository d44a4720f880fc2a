"""The part of Go's text/template that webhooks and parameters need, with Go's meaning; what is not in it is refused when compiling.

Text, fields of the root (`.Request.Host`, `$.Pod.Name`), text and whole numbers, `true` and `false`, `if`, `else if`, `else`, comments,
trim markers, pipelines, parentheses, and the functions of `policy.go_functions`. Every word's kind is known beforehand, so that an
unknown field, a comparison that Go would fail at, or a map where text belongs is a problem for who wrote it and not for each event.
As in Go with `missingkey=error`, a key that is not there fails as a field and is empty under `index`. No loops: output is bounded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from crds.problem import Problem
from policy.go_functions import FUNCTIONS, TemplateFailure, Term, field_of, truth
from policy.go_lexer import Action, TemplateMistake, Word, scan
from policy.program import GoTemplate
from policy.reasons import Reason
from policy.report import quoted
from policy.variables import BOOL, INT, STRING, Json, Kind

LONGEST = 8192
DEEPEST = 64
"""Conditions and parentheses within each other; `else if` counts as one more."""
LONGEST_ACTION = 200
"""Words."""
MOST = 2**63

__all__ = ["TemplateFailure", "Term", "outline", "parse_go_template", "render"]

_ELSEWHERE = frozenset(
    {
        "range",
        "with",
        "define",
        "template",
        "block",
        "break",
        "continue",
        "nil",
        "printf",
        "print",
        "println",
        "html",
        "js",
        "slice",
        "call",
    }
)
_PRINTED: Mapping[Kind, Callable[[Json], str]] = {STRING: str, INT: str, BOOL: lambda value: "true" if value else "false"}


@dataclass(frozen=True, slots=True)
class Output:
    """A value that is printed."""

    term: Term


@dataclass(frozen=True, slots=True)
class Choice:
    condition: Term
    then: "tuple[Piece, ...]"
    otherwise: "tuple[Piece, ...]"


Piece = str | Output | Choice


def parse_go_template(source: str, *, fields: Kind, inputs: frozenset[str] | None = None) -> GoTemplate | Problem:
    """`fields` is the root; `inputs` are the names that the profile declares, None where that is not known."""
    if len(source) > LONGEST:
        return _problem(f"the template has {len(source)} characters, {LONGEST} are allowed")
    try:
        _parsed(source, fields, inputs)
    except TemplateMistake as mistake:
        return _problem(str(mistake), unsupported=mistake.unsupported)
    return GoTemplate(text=source)


def render(template: GoTemplate, values: Mapping[str, Json], fields: Kind, *, limit: int) -> str:
    """`fields` as when it was parsed. At most `limit` bytes in UTF-8. Raises TemplateFailure."""
    written: list[str] = []
    _write(_parsed(template.text, fields, None), values, _Budget(written, limit))
    return "".join(written)


def outline(template: GoTemplate, fields: Kind) -> tuple[tuple[str, frozenset[str]], ...]:
    """In order, text with no roots, or for what is computed no text and the roots that it reads."""
    return tuple((piece, frozenset()) if isinstance(piece, str) else ("", _roots(piece)) for piece in _parsed(template.text, fields, None))


def _roots(piece: Piece) -> frozenset[str]:
    match piece:
        case str():
            return frozenset()
        case Output():
            return piece.term.roots
        case Choice():
            return piece.condition.roots.union(*map(_roots, (*piece.then, *piece.otherwise)))


@dataclass(slots=True)
class _Budget:
    written: list[str]
    left: int

    def add(self, text: str) -> None:
        self.left -= len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        if self.left < 0:
            raise TemplateFailure("limit")
        self.written.append(text)


def _write(pieces: tuple[Piece, ...], values: Mapping[str, Json], budget: _Budget) -> None:
    for piece in pieces:
        match piece:
            case str():
                budget.add(piece)
            case Output():
                budget.add(_PRINTED[piece.term.kind](piece.term.value(values)))
            case Choice():
                holds = truth(piece.condition.kind, piece.condition.value(values))
                _write(piece.then if holds else piece.otherwise, values, budget)


@lru_cache(maxsize=65536)
def _parsed(source: str, fields: Kind, inputs: frozenset[str] | None) -> tuple[Piece, ...]:
    """Raises TemplateMistake."""
    parser = _Parser(scan(source), fields, inputs)
    pieces, end = parser.pieces(0)
    if end:
        raise TemplateMistake(f"`{end[0].value}` without an `if` before it")
    return pieces


class _Parser:
    def __init__(self, scanned: list[str | Action], fields: Kind, inputs: frozenset[str] | None) -> None:
        self._scanned = scanned
        self._next = 0
        self._fields = fields
        self._inputs = inputs

    def pieces(self, depth: int) -> tuple[tuple[Piece, ...], tuple[Word, ...]]:
        """Up to an `else` or `end`, whose words come second, or to the end of all."""
        found: list[Piece] = []
        while self._next < len(self._scanned):
            each = self._scanned[self._next]
            self._next += 1
            if isinstance(each, str):
                found.append(each)
                continue
            keyword = each.words[0].value if each.words and each.words[0].kind == "name" else ""
            if keyword in {"else", "end"}:
                return tuple(found), each.words
            found.append(self._choice(each.words[1:], depth + 1) if keyword == "if" else self._output(each.words))
        return tuple(found), ()

    def _choice(self, words: tuple[Word, ...], depth: int) -> Choice:
        if depth > DEEPEST:
            raise TemplateMistake(f"conditions nest deeper than {DEEPEST}")
        condition = self._whole(words)
        then, end = self.pieces(depth)
        otherwise: tuple[Piece, ...] = ()
        if end and end[0].value == "else":
            if end[1:2] and end[1].value == "if" and end[1].kind == "name":
                return Choice(condition, then, (self._choice(end[2:], depth + 1),))
            if end[1:]:
                raise TemplateMistake("`else` stands alone, or before `if`")
            otherwise, end = self.pieces(depth)
        if not end or end[0].value != "end" or end[1:]:
            raise TemplateMistake("an `if` is not closed: end it with `{{ end }}`")
        return Choice(condition, then, otherwise)

    def _output(self, words: tuple[Word, ...]) -> Output:
        term = self._whole(words)
        if term.kind not in _PRINTED:
            raise TemplateMistake(f"a {term.kind.name} is no text: write `json` before it, or name one of its fields", unsupported=True)
        return Output(term)

    def _whole(self, words: tuple[Word, ...]) -> Term:
        if len(words) > LONGEST_ACTION:
            raise TemplateMistake(f"an action has {len(words)} words, {LONGEST_ACTION} are allowed")
        term, rest = self._pipeline(words, 0)
        if rest:
            raise TemplateMistake("a `)` without its `(`")
        return term

    def _pipeline(self, words: tuple[Word, ...], depth: int) -> tuple[Term, tuple[Word, ...]]:
        """What comes second starts with the `)` that ended it."""
        if depth > DEEPEST:
            raise TemplateMistake(f"parentheses nest deeper than {DEEPEST}")
        piped: Term | None = None
        while True:
            piped, words = self._command(words, piped, depth)
            if not words or words[0].kind == "close":
                return piped, words
            words = words[1:]

    def _command(self, words: tuple[Word, ...], piped: Term | None, depth: int) -> tuple[Term, tuple[Word, ...]]:
        if not words or words[0].kind in {"pipe", "close"}:
            raise TemplateMistake("a value is missing")
        function = words[0].value if words[0].kind == "name" and words[0].value not in {"true", "false"} else None
        words = words[1:] if function else words
        terms: list[Term] = []
        while words and words[0].kind not in {"pipe", "close"}:
            if (function or terms) and not words[0].spaced:
                raise TemplateMistake("put a space between an action's words")
            term, words = self._operand(words, depth)
            terms.append(term)
        if function:
            return self._called(function, [*terms, piped] if piped else terms), words
        if piped:
            raise TemplateMistake("behind `|` stands a function")
        if len(terms) > 1:
            raise TemplateMistake("only a function takes arguments: put it first")
        return terms[0], words

    def _operand(self, words: tuple[Word, ...], depth: int) -> tuple[Term, tuple[Word, ...]]:
        word, rest = words[0], words[1:]
        match word.kind:
            case "text":
                return Term.literal(STRING, word.value), rest
            case "number":
                return self._number(word.value), rest
            case "field" | "dollar":
                return self._chain(words)
            case "open":
                term, behind = self._pipeline(rest, depth + 1)
                if not behind:
                    raise TemplateMistake("a `(` is not closed")
                return term, behind[1:]
        if word.value in {"true", "false"}:
            return Term.literal(BOOL, word.value == "true"), rest
        raise _unknown(word.value, argument=True)

    def _number(self, digits: str) -> Term:
        number = int(digits) if len(digits) < 21 else MOST
        if not -MOST <= number < MOST:
            raise TemplateMistake(f"{quoted(digits)} is more than a number can be")
        return Term.literal(INT, number)

    def _chain(self, words: tuple[Word, ...]) -> tuple[Term, tuple[Word, ...]]:
        steps = 1
        while steps < len(words) and words[steps].kind == "field" and not words[steps].spaced:
            steps += 1
        names = [word.value.removeprefix(".") for word in words[:steps] if word.kind == "field"]
        if not names:
            raise TemplateMistake("the whole root cannot be used: name a field, such as `$.Request.Host`", unsupported=True)
        term = Term(self._fields, lambda values: values)
        for name in names:
            term = field_of(term, name, self._inputs)
        return term, words[steps:]

    def _called(self, name: str, terms: list[Term]) -> Term:
        function = FUNCTIONS.get(name)
        if function is None:
            raise _unknown(name)
        if not function.least <= len(terms) <= function.most:
            many = f"{function.least}" if function.least == function.most else f"{function.least} to {function.most}"
            raise TemplateMistake(f"`{name}` takes {many} {'argument' if many == '1' else 'arguments'}, not {len(terms)}")
        made: Callable[..., Term] = function.make
        return made(*terms, inputs=self._inputs) if function.knows_inputs else made(*terms)


def _unknown(name: str, *, argument: bool = False) -> TemplateMistake:
    if argument and name in FUNCTIONS:
        return TemplateMistake(f"put parentheses around the call of `{name}`")
    known = ", ".join(sorted(FUNCTIONS))
    return TemplateMistake(f"there is no {quoted(name)} here: what there is are `if`, {known}", unsupported=name in _ELSEWHERE)


def _problem(message: str, *, unsupported: bool = False) -> Problem:
    reason = Reason.UNSUPPORTED_TEMPLATE if unsupported else Reason.INVALID_TEMPLATE
    return Problem(reason=reason.value, message=message)
