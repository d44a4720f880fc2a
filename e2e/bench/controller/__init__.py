"""How fast the controller is, on a real API server, as its own process with its own rights and at its default settings.

    python -m e2e.bench.controller [--quick | --full] [--output json]

`cases` (what there is to be done, and the targets) → `load` (the objects, written as a user would) → `stages` (cold, edited, started
again, read off the API server's audit log, or by `watching`, a client that shares no code with the controller) → `report`.
`floor` makes the same calls with nothing behind them: what is left to the controller is the ratio to that, since machines differ
and others work on them.
"""
