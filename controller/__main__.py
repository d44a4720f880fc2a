"""`python -m controller`: settings in, exit code out.

0 done, 1 not everything is up to date (`--once`), 2 cannot begin, 3 lost the Lease.
"""

import asyncio
import logging
import sys

from controller.run import run
from controller.settings import Settings
from daemon import logs
from daemon.settings import MistakeError
from daemon.settings_sources import load

log = logging.getLogger("controller")

CANNOT_BEGIN = 2


def main() -> int:
    try:
        loaded = load(sys.argv[1:], Settings, program="python -m controller", description="Groyne's controller.")
    except MistakeError as mistake:
        sys.stderr.write("\n".join(mistake.lines) + "\n")
        return CANNOT_BEGIN
    logs.configure(level=loaded.settings.log_level, form=loaded.settings.log_format)
    for warning in loaded.warnings:
        log.warning(warning)
    try:
        return asyncio.run(run(loaded.settings))
    except (ValueError, OSError) as error:
        log.error("cannot begin: %s", error)  # noqa: TRY400 — for a person
        return CANNOT_BEGIN


if __name__ == "__main__":
    sys.exit(main())
