"""Envoy and ext-proc together, and what becomes of requests when one of them fails.

`rig` runs a real Envoy on the compiler's configuration beside an ext-proc that answers as a test wants; `load` keeps a proxy busy
from threads. `test_answers` is about wrong, late and missing answers, `test_faults` about the real process: killed, abandoned, unread.
"""
