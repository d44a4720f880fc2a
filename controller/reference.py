"""`python -m controller.reference` writes the table of settings into docs/controller.md."""

import sys

from controller.settings import Settings
from daemon.reference import write

if __name__ == "__main__":
    sys.stdout.write(write("controller", Settings))
