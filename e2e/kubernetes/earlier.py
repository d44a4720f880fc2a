"""The controller as a process whose calendar is some days behind: `python -m e2e.kubernetes.earlier DAYS FLAGS…`. Certificates age in months."""

import asyncio
import sys
from datetime import timedelta

from controller.run import run, utc_now
from controller.settings import Settings
from daemon import logs
from daemon.settings_sources import load


def main() -> int:
    behind = timedelta(days=int(sys.argv[1]))
    settings = load(sys.argv[2:], Settings, program="earlier", description="").settings
    logs.configure(level=settings.log_level, form=settings.log_format)
    return asyncio.run(run(settings, now=lambda: utc_now() - behind))


if __name__ == "__main__":
    sys.exit(main())
