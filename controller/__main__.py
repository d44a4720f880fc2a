"""`python -m controller`: settings in, exit code out.

0 done, 1 not everything is up to date (`--once`), 2 cannot begin, 3 lost the Lease.
"""

import asyncio
import logging
import sys

from controller.run import run
from controller.settings import Settings
from daemon.starting import CANNOT_BEGIN, begin

log = logging.getLogger("controller")


def work(settings: Settings) -> int:
    try:
        return asyncio.run(run(settings))
    except (ValueError, OSError) as error:
        log.error("cannot begin: %s", error)  # noqa: TRY400 — for a person
        return CANNOT_BEGIN


def main() -> int:
    return begin(sys.argv[1:], Settings, work, program="python -m controller", description="Groyne's controller.")


if __name__ == "__main__":
    sys.exit(main())
