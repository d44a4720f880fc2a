"""Who issues credentials: what is asked for on behalf of a sandbox, fetched and remembered.

    seam    → the question, the answer, the failure, and what a provider is: one coroutine
    http    → the provider on the other side of an HTTP call
    answers → what such a provider may say, and how long it holds
    cache   → any provider behind a memory: each question asked once, for as long as the answer is good
    opening → from a URL to a provider: where a new kind is listed

Credentials and access tokens pass through here: no log, no exception and no repr ever holds one, nor any word that a
provider said. docs/providers.md describes the wire.
"""
