"""Machinery for controllers: it knows Kubernetes, and none of our kinds.

    transport  → the one module that imports kr8s: a request or a stream of lines, each with a deadline
    client     → verbs on a `Resource`: pages of a list, a watch, create, patch, apply, delete; failures as `errors.ApiError`
    reflector  → list, then watch, again and again, so that a `store` says what the API server says
    informer   → one reflector shared by many handlers, which turn what happened into keys
    workqueue  → keys: none lost, none twice at once, the failing ones slower and slower
    reconcile  → one worker a key; a `Result` or an error decides when it comes again
    election   → of several processes one acts
    events, status → what a controller says to people, once

Time is the event loop's (`asyncio.get_running_loop().time()`), so that tests run on virtual time; wall-clock time and randomness
come in as arguments. Nothing here starts a task that it does not own.
"""
