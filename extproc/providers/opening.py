"""From the URL that an operator gives to the provider behind it. A new kind of provider is a module with an `Open`, listed in `KINDS`.

A URL that would send tokens in the clear, or that hides a password, is refused when the process starts; the message does not
quote it.
"""

import ssl
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from extproc.providers.http import TIMEOUT, FetchObserver, HttpProvider, Tls
from extproc.providers.seam import Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a provider may use. Without `tls` the system's roots are trusted and no certificate of ours is shown.

    `plaintext` allows http:// to other machines: for meshes that encrypt by themselves.
    """

    wall_clock: Callable[[], datetime]
    observer: FetchObserver
    tls: Tls | None = None
    timeout: float = TIMEOUT
    plaintext: bool = False


Open = Callable[[str, Means], AbstractAsyncContextManager[Provider]]


def open_provider(url: str, means: Means) -> AbstractAsyncContextManager[Provider]:
    """ValueError for a URL that no provider serves."""
    if not all("!" <= char <= "~" for char in url):
        raise ValueError("the provider's URL holds a space, a control character or one beyond ASCII: escape it")
    scheme = urlsplit(url).scheme
    if scheme not in KINDS:
        raise ValueError(f"a provider's URL starts with {', '.join(f'{each}://' for each in KINDS)}")
    return KINDS[scheme](url, means)


def _http(url: str, means: Means) -> AbstractAsyncContextManager[Provider]:
    _check(urlsplit(url), means)
    tls = means.tls or _system_roots()
    return HttpProvider(url, tls=tls, wall_clock=means.wall_clock, observer=means.observer, timeout=means.timeout)


def _check(parts: SplitResult, means: Means) -> None:
    if not parts.hostname or not _has_port(parts):
        raise ValueError("the provider's URL names no host, or no port that there is")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("the provider's URL holds a user, a password or a fragment")
    if parts.scheme == "http" and not means.plaintext and not _is_loopback(parts.hostname):
        raise ValueError("the provider's URL is http:// to another machine: access tokens and credentials would travel in the clear")


def _has_port(parts: SplitResult) -> bool:
    """Python says so by an error that quotes the URL."""
    try:
        return parts.port != 0
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _system_roots() -> Tls:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return lambda: context


KINDS: Mapping[str, Open] = {"https": _http, "http": _http}
