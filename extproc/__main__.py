"""`python -m extproc`: settings in, exit code out.

0 done, 2 cannot begin.
"""

import asyncio
import logging
import sys

import uvloop

from daemon import logs
from daemon.settings import MistakeError
from daemon.settings_sources import load
from extproc.run import run
from extproc.settings import Settings
from mtls.files import TlsError

log = logging.getLogger("extproc")

CANNOT_BEGIN = 2


def main() -> int:
    try:
        loaded = load(sys.argv[1:], Settings, program="python -m extproc", description="Groyne's ext-proc: decides beside Envoy.")
    except MistakeError as mistake:
        sys.stderr.write("\n".join(mistake.lines) + "\n")
        return CANNOT_BEGIN
    logs.configure(level=loaded.settings.log_level, form=loaded.settings.log_format)
    for warning in loaded.warnings:
        log.warning(warning)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(loaded.settings))
    except (ValueError, OSError, TlsError) as error:
        log.error("cannot begin: %s", error)  # noqa: TRY400 - for a person
        return CANNOT_BEGIN
    return 0


if __name__ == "__main__":
    sys.exit(main())
