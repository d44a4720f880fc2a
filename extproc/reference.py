"""`python -m extproc.reference` writes the table of settings into docs/ext-proc.md."""

import sys

from daemon.reference import write
from extproc.settings import Settings

if __name__ == "__main__":
    sys.stdout.write(write("extproc", Settings))
