"""Where snapshots come from: a cluster's objects, or manifests on disk. Out come whole snapshots, and nothing else.

A feed calls `Swap` with each new snapshot, the first one when everything has been read. What does not compile any more stays in
force as it was; a credential that is gone is gone.
"""

from collections.abc import Callable

from extproc.snapshot import Snapshot

Swap = Callable[[Snapshot], None]
"""Exchanges the snapshot in force, between two requests."""
