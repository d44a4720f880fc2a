"""The TLS context that a provider is asked with, as long as the certificates are the same.

In: the keeper of our certificate. Out: a `Tls` that gives another object as soon as what the keeper holds is another, so that
connections made with the certificates before end with the question they carry. What is wrong with the files is for the keeper to say.
"""

import ssl
from functools import lru_cache

from extproc.providers.http import Tls
from mtls.contexts import client_context
from mtls.keeper import Keeper


def certified(keeper: Keeper) -> Tls:
    """Makes the first one at once, so that what cannot work is known at the start."""

    @lru_cache(maxsize=1)
    def made(_version: str) -> ssl.SSLContext:
        return client_context(keeper, peers=None)

    def tls() -> ssl.SSLContext:
        return made(keeper.current.version)

    tls()
    return tls
