"""All pages of one list, and an end to it whatever the server says: its token leads on, and must not lead round in circles.

In goes a way to ask for a page by its token, out come pages. A token that came before, or more pages than any cluster has, is a server
that cannot be believed; what was read of it is thrown away.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable

from kube.client import Page
from kube.errors import Unavailable

MOST_PAGES = 20_000


async def all_pages(ask: Callable[[str], Awaitable[Page]]) -> AsyncGenerator[Page, None]:
    seen: set[str] = set()
    token = ""
    while True:
        page = await ask(token)
        yield page
        token = page.continue_
        if not token:
            return
        if token in seen or len(seen) >= MOST_PAGES:
            raise Unavailable("a list without an end: its pages lead round in circles")
        seen.add(token)
