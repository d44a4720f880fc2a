"""A Problem with the place where its cause stands: file, line, column, and the object's name.

This is what `check` prints and what a broken edit shows: the same facts as one line of text and as one JSON object.
"""

import json
from dataclasses import dataclass
from typing import Literal

from crds.problem import Problem

# True of the directory, but nobody's mistake.
_INFORMATION = frozenset({"UnknownKind", "KustomizationSkipped"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatedProblem:
    """`kind`, `namespace` and `name` are empty as far as they are not known, `file` if its object is in force but no longer there."""

    problem: Problem
    file: str
    line: int = 1
    column: int = 1
    kind: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def severity(self) -> Literal["error", "warning", "info"]:
        if self.problem.fatal:
            return "error"
        return "info" if self.problem.reason in _INFORMATION else "warning"

    @property
    def order(self) -> tuple[str, int, int, str, str]:
        return (self.file, self.line, self.column, self.problem.field, self.problem.reason)

    def as_json(self) -> dict[str, str | int | bool]:
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
            "field": self.problem.field,
            "reason": self.problem.reason,
            "message": self.problem.message,
            "fatal": self.problem.fatal,
            "severity": self.severity,
        }

    def __str__(self) -> str:
        whose = f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"
        subject = " ".join(filter(None, (whose.strip(), self.problem.field)))
        head = f"{self.file}:{self.line}: {self.severity}: " if self.file else f"{self.severity}: "
        return _printable(
            f"{head}{subject}: {self.problem.message} [{self.problem.reason}]"
            if subject
            else f"{head}{self.problem.message} [{self.problem.reason}]"
        )


def _printable(text: str) -> str:
    """Names come from strangers' files: nothing in them may steer a terminal."""
    return text if text.isprintable() else "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)
