"""Reads a stream of events and prints how many seconds passed before each."""

import sys
import time
import urllib.request

with urllib.request.urlopen(sys.argv[1], timeout=60) as answer:  # noqa: S310 - a test's own URL
    before = time.monotonic()
    for line in answer:
        if line.startswith(b"data:"):
            now = time.monotonic()
            print(round(now - before, 1), line[5:].decode().strip(), flush=True)
            before = now
