"""How every process of ext-proc begins: settings from flags, environment and file, logs, an event loop; an exit code at the end.

0 done, 2 cannot begin.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

from daemon import logs
from daemon.settings import MistakeError
from daemon.settings_sources import load
from extproc.settings import Settings
from mtls.files import TlsError

log = logging.getLogger("extproc")

DONE, CANNOT_BEGIN = 0, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Raises ValueError (also `TlsError`) and OSError where it cannot begin."""

    main: Coroutine[Any, Any, None]
    loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop


def begin(arguments: Sequence[str], choose: Callable[[Settings], Work]) -> int:
    try:
        loaded = load(list(arguments), Settings, program="python -m extproc", description="Groyne's ext-proc: decides beside Envoy.")
    except MistakeError as mistake:
        sys.stderr.write("\n".join(mistake.lines) + "\n")
        return CANNOT_BEGIN
    logs.configure(level=loaded.settings.log_level, form=loaded.settings.log_format)
    for warning in loaded.warnings:
        log.warning(warning)
    try:
        work = choose(loaded.settings)
        with asyncio.Runner(loop_factory=work.loop) as runner:
            runner.run(work.main)
    except (ValueError, OSError, TlsError, ExceptionGroup) as error:
        mistakes = list(leaves(error))
        if not all(isinstance(each, ValueError | OSError | TlsError) for each in mistakes):
            raise
        log.error("cannot begin: %s", "; ".join(map(str, mistakes)))  # noqa: TRY400 - for a person
        return CANNOT_BEGIN
    return DONE


def leaves(error: Exception) -> Iterator[Exception]:
    """Of an error that tasks side by side have put together."""
    if isinstance(error, ExceptionGroup):
        for each in error.exceptions:
            yield from leaves(each)
    else:
        yield error
