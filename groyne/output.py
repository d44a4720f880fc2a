"""How commands speak: tables where a person reads, aligned plain columns through a pipe, JSON where a program asked for it."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from enum import IntEnum, StrEnum
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from manifests.located import LocatedProblem


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


class Exit(IntEnum):
    """`run` returns the command's own code; these are Groyne's. USAGE is also what typer gives for a wrong option."""

    OK = 0
    PROBLEMS = 1
    USAGE = 2
    REFUSED = 3
    INTERNAL = 70
    NOT_EXECUTABLE = 126
    NOT_FOUND = 127
    INTERRUPTED = 130


def errors() -> Console:
    """Where Groyne speaks while the command has standard output for itself."""
    return console(stderr=True)


def console(*, stderr: bool = False) -> Console:
    """Says what it is given: no markup is guessed, no `:word:` becomes a picture, no line is broken."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True, emoji=False)


def say(text: str) -> None:
    """One line for the user, on standard error."""
    errors().print(printable(text), markup=False)


def because(error: Exception) -> str:
    """What an error says to people: of the system's, the file and the words, without the number."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    words = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
    return f"{os.fsdecode(error.filename)}: {words}" if error.filename else words


def print_json(value: Any) -> None:
    """One line of ASCII: it fits every terminal's and every pipe's encoding."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, console: Console, title: str = "") -> None:
    listed = [[printable(cell) for cell in row] for row in rows]
    if console.is_terminal:
        table = Table(*columns, title=title or None, title_justify="left", title_style="bold", header_style="bold")
        for row in listed:
            table.add_row(*(styled(cell) for cell in row))
        console.print(table)
        return
    widths = [max(len(line[number]) for line in [list(columns), *listed]) for number in range(len(columns))]
    if title:
        console.print(title, markup=False)
    for line in [list(columns), *listed]:
        console.print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), markup=False)


COLOURS = {"blocked": "red", "mutated": "green", "bypassed": "cyan", "error": "red", "warning": "yellow"}


def styled(cell: str) -> str:
    colour = COLOURS.get(cell)
    return f"[{colour}]{cell}[/]" if colour else escape(cell)


def printable(text: str) -> str:
    """What clients and files name must not steer a terminal."""
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def print_problems(problems: Iterable[LocatedProblem], console: Console) -> None:
    for located in problems:
        console.print(str(located), markup=False, style="red" if located.problem.fatal else "yellow")
