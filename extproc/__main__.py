"""`python -m extproc`: one process that decides, or several and one that looks after them."""

import asyncio
import sys

from extproc.beginning import Work, begin
from extproc.run import run
from extproc.settings import Settings
from extproc.workers import supervise


def choose(settings: Settings) -> Work:
    if settings.workers == 1:
        return Work(main=run(settings))
    # uvloop forks in a way that grpcio writes lines about.
    return Work(main=supervise(settings, sys.argv[1:]), loop=asyncio.new_event_loop)


if __name__ == "__main__":
    sys.exit(begin(sys.argv[1:], choose))
