"""What kr8s leaves to do when it has read credentials: `complete` them, tell later whether they are still the same, tidy up.

It takes kr8s' `KubeAuth` as it is and needs nothing else of kr8s. Left out there are the token file that a kubeconfig may name,
the namespace of a service account, and white space around a token (h11 refuses a line break in a header, and says the header).
Keys that stand inline in a kubeconfig are copied to temporary files and left lying about.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COPIED = {
    "client-certificate-data": "client_cert_file",
    "client-key-data": "client_key_file",
    "certificate-authority-data": "server_ca_file",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """`files` are what was read from, `seen` what stood there; `identity` is whom the server meets, whatever it was made from."""

    files: tuple[Path, ...]
    seen: bytes
    identity: bytes

    @property
    def stale(self) -> bool:
        return digest(self.files) != self.seen


def complete(auth: Any, service_account: str) -> Read:
    """To be called once kr8s has read, and before the copies are removed."""
    token_file = _token_file(auth, service_account)
    if token_file is not None:
        auth.token = token_file.read_text()
    if auth.token:
        auth.token = checked(auth.token.strip())
    own = Path(service_account, "namespace")
    if not auth._cluster and own.is_file():  # noqa: SLF001 — kr8s gives no public sight of what it read
        auth.namespace = own.read_text().strip()
    files = (*_sources(auth), *([token_file] if token_file else []))
    told = f"{auth.server} {auth.proxy} {auth.tls_server_name} {auth.token}".encode()
    identity = hashlib.sha256(told + digest(_certificates(auth))).digest()
    return Read(files=files, seen=digest(files), identity=identity)


def checked(token: str) -> str:
    """h11 would refuse it as a header, and httpcore writes what h11 says into its log."""
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError("the token holds characters that no header can")
    return token


def remove_copies(auth: Any) -> None:
    for path in _copies(auth):
        path.unlink(missing_ok=True)


def digest(files: tuple[Path, ...]) -> bytes:
    """A file that cannot be read counts as empty: while it is being replaced, or when it is gone."""
    found = hashlib.sha256()
    for path in files:
        try:
            content = path.read_bytes()
        except OSError:
            content = b""
        found.update(hashlib.sha256(content).digest())
    return found.digest()


def _token_file(auth: Any, service_account: str) -> Path | None:
    if not auth._cluster:  # noqa: SLF001
        return Path(service_account, "token")
    written: str | None = auth._user.get("tokenFile")  # noqa: SLF001
    if not written:
        return None
    if isinstance(auth._kubeconfig_path_or_dict, dict):  # noqa: SLF001
        return Path(written)
    return Path(str(auth.kubeconfig.get_path(auth.active_context))).parent.joinpath(written)


def _sources(auth: Any) -> Iterator[Path]:
    given = auth._kubeconfig_path_or_dict  # noqa: SLF001
    if auth._cluster and not isinstance(given, dict):  # noqa: SLF001
        yield from (Path(part).expanduser() for part in str(given).split(":"))
    copies = set(_copies(auth))
    yield from (path for path in _certificates(auth) if path not in copies)


def _certificates(auth: Any) -> tuple[Path, ...]:
    return tuple(Path(str(path)) for path in (auth.client_cert_file, auth.client_key_file, auth.server_ca_file) if path)


def _copies(auth: Any) -> Iterator[Path]:
    inline = {**auth._cluster, **auth._user}  # noqa: SLF001
    return (Path(str(path)) for name, attribute in COPIED.items() if name in inline and (path := getattr(auth, attribute)))
