"""Certificate and key in two files → a TLS context for a server, anew whenever the files are.

Whoever renews them (cert-manager, the kubelet with a Secret's volume) replaces files and tells nobody, so each connection takes a
look. A pair that cannot be read, as between two writes, leaves the last good one in use; at the start it is the operator's mistake.
"""

import logging
import ssl
import threading
from pathlib import Path

from daemon.settings import MistakeError

log = logging.getLogger(__name__)

Version = tuple[tuple[int, int, int], ...]


class CertificateFiles:
    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = certificate, key
        self._lock = threading.Lock()
        self._version = self._look()
        try:
            self._context = self._load()
        except OSError as error:
            raise MistakeError(f"metrics-cert, metrics-key: {self._because(error)}") from None

    def context(self) -> ssl.SSLContext:
        with self._lock:
            version = self._look()
            if version != self._version:
                self._version = version
                self._renew()
            return self._context

    def _renew(self) -> None:
        try:
            self._context = self._load()
        except OSError as error:
            log.warning("the certificate was replaced by one that cannot be used: the last one stays", extra={"why": self._because(error)})
        else:
            log.info("the certificate was read again", extra={"file": str(self._files[0])})

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Without an answer of our own, a key with a passphrase would be asked for on the terminal.
        context.load_cert_chain(*self._files, password=lambda: "")
        return context

    def _look(self) -> Version:
        """Links are followed: a volume's files are links into a directory that is exchanged as a whole."""
        try:
            return tuple((found.st_mtime_ns, found.st_ino, found.st_size) for found in (file.stat() for file in self._files))
        except OSError:
            return ()

    def _because(self, error: OSError) -> str:
        if isinstance(error, ssl.SSLError):
            return f"{self._files[0]} and {self._files[1]} are no certificate with its key, in PEM and without a passphrase"
        return f"{error.filename or ' or '.join(map(str, self._files))}: {error.strerror}"
