"""How the credentials of one request were found: noted by who looks, for who tells of the request.

The cache serves many requests and knows none of them; what it says reaches the one that it is about by the context in which it was asked.
"""

from contextvars import ContextVar

LOOKUPS: ContextVar[list[str] | None] = ContextVar("lookups", default=None)
