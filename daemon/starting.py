"""How every process begins: settings from flags, environment and file, then its log.

In: arguments, the process's model of settings, and what to run with them. Out: an exit code. What is wrong with settings is said on
standard error, because there is no log yet. Which errors mean that a process cannot begin is its own business, and so is its event loop.
"""

import logging
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from daemon import logs
from daemon.settings import MistakeError, Model
from daemon.settings_sources import load

S = TypeVar("S", bound=Model)

log = logging.getLogger(__name__)

CANNOT_BEGIN = 2
"""The exit code of a process with which nothing is to be started as it was told."""


def begin(arguments: Sequence[str], model: type[S], run: Callable[[S], int], *, program: str, description: str) -> int:
    """The exit code: of `run`, or CANNOT_BEGIN where the settings are mistaken, whose every mistake is said on standard error."""
    try:
        loaded = load(arguments, model, program=program, description=description)
    except MistakeError as mistake:
        sys.stderr.write("\n".join(mistake.lines) + "\n")
        return CANNOT_BEGIN
    logs.configure(level=loaded.settings.log_level, form=loaded.settings.log_format)
    for warning in loaded.warnings:
        log.warning(warning)
    return run(loaded.settings)
