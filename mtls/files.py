"""Where an edge's certificate, key and trust bundle lie: all of them or none, and at the start a while for them to appear.

In: paths as settings have them, and the names of these settings, for what is said of a mistake. Out: `TlsFiles`, or None where TLS is
off. Half a configuration is refused: it would look like mutual TLS and be none. What the files hold is judged in `material`.

Whoever writes them (spiffe-helper, cert-manager) may start later than we do, so there is a bounded wait, for files that do not exist and
for nothing else: one that may not be read will not become readable.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

WAIT = 30.0
LOOK_EVERY = 0.5

Given = str | Path | None


class TlsError(Exception):
    """Of this package's own. Its text names paths and peers, and holds nothing that a file or a peer's key material holds."""


class ConfigurationError(TlsError):
    """The operator's mistake: what is configured cannot work."""


class MissingFilesError(TlsError):
    def __init__(self, edge: str, missing: Sequence[Path], waited: float) -> None:
        self.missing = tuple(missing)
        super().__init__(f"TLS for {edge}: after {waited:g} s there is still no {', '.join(map(str, missing))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """`edge` names the peer in messages and labels: `ext-proc clients`, `credential provider`. Without `authorities` nobody is verified."""

    edge: str
    certificate: Path
    key: Path
    authorities: Path | None

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.certificate, self.key, *((self.authorities,) if self.authorities else ()))

    @property
    def directories(self) -> tuple[Path, ...]:
        """Each once: the kernel tells of a file's exchange by its directory."""
        return tuple(dict.fromkeys(path.parent for path in self.paths))


def tls_files(
    *, edge: str, certificate: Given, key: Given, authorities: Given, names: Sequence[str] = ("cert", "key", "ca"), mutual: bool = True
) -> TlsFiles | None:
    """`names`: the settings, in the order of the paths. Not `mutual`: the third may be left out, as a webhook's callers show nothing."""
    given = {name: str(path or "").strip() for name, path in zip(names, (certificate, key, authorities), strict=True)}
    needed = names if mutual else names[:2]
    if not any(given.values()):
        return None
    if lacking := [name for name in needed if not given[name]]:
        there = ", ".join(f"{name}={path}" for name, path in given.items() if path)
        raise ConfigurationError(
            f"TLS for {edge}: {', '.join(needed)} belong together: {', '.join(lacking)} is missing beside {there}; set all of them or none"
        )
    first, second, third = (Path(path) if path else None for path in given.values())
    assert first is not None  # noqa: S101 — needed, so not empty
    assert second is not None  # noqa: S101
    return TlsFiles(edge=edge, certificate=first, key=second, authorities=third)


def missing(files: TlsFiles) -> tuple[Path, ...]:
    """Anything but absence is raised: to wait for it would be in vain."""
    return tuple(path for path in files.paths if not _exists(path))


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return False
    return True


async def wait_for(files: TlsFiles, *, timeout: float = WAIT, every: float = LOOK_EVERY) -> None:  # noqa: ASYNC109 — its end names the files
    """Until all are there. Zero seconds look once."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    while absent := missing(files):
        left = end - loop.time()
        if left <= 0:
            raise MissingFilesError(files.edge, absent, timeout)
        await asyncio.sleep(min(every, left))
