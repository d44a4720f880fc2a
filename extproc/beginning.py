"""How every process of ext-proc begins: settings and logs as any process', then an event loop; an exit code at the end.

0 done, 2 cannot begin.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

from daemon import starting
from daemon.logs import leaves
from daemon.starting import CANNOT_BEGIN
from extproc.settings import Settings
from mtls.files import TlsError

log = logging.getLogger("extproc")

DONE = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Raises ValueError (also `TlsError`) and OSError where it cannot begin."""

    main: Coroutine[Any, Any, None]
    loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop


def begin(arguments: Sequence[str], choose: Callable[[Settings], Work]) -> int:
    description = "Groyne's ext-proc: decides beside Envoy."
    return starting.begin(
        arguments, Settings, lambda settings: worked(settings, choose), program="python -m extproc", description=description
    )


def worked(settings: Settings, choose: Callable[[Settings], Work]) -> int:
    try:
        work = choose(settings)
        with asyncio.Runner(loop_factory=work.loop) as runner:
            runner.run(work.main)
    except (ValueError, OSError, TlsError, ExceptionGroup) as error:
        mistakes = list(leaves(error))
        if not all(isinstance(each, ValueError | OSError | TlsError) for each in mistakes):
            raise
        log.error("cannot begin: %s", "; ".join(map(str, mistakes)))  # noqa: TRY400 - for a person
        return CANNOT_BEGIN
    return DONE
