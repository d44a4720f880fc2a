"""Seeded schedules: what people do and what goes wrong, drawn from one number, against a real API server.

    schedule   seed → steps, each at its moment
    deeds      what each step does, to a namespace or to the way to the API server
    play       one schedule from begin to end: then fair weather, all as it should be, and quiet
    arena      a control plane, and many plays on it at once; at the end a fresh `--once` for all finds nothing to do
    shrink     a schedule that fails → fewer steps that still fail

`make chaos SEEDS=1000`; `python -m e2e.kubernetes.chaos --seed 17` plays one again.
"""
