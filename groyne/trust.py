"""What makes intercepted TLS trusted: the run's CA, its leafs, and the bundles that clients and Envoy read.

The CA is made for one run (or is the user's own) and its key stays in this process. Clients get certifi's roots, the files
they already trusted and the CA; Envoy gets the same less the CA, so that nothing that this CA signed is trusted upstream.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from dataplane.certificate_parts import KeyPair
from dataplane.certificates import chunk_names, leaf_fits, make_ca, make_leaf
from dataplane.compile import Pair
from dataplane.truststore import bundle, java_truststore, parsable
from groyne.output import because

TRUSTSTORE_PASSWORD = "changeit"  # noqa: S105 - Java's default; the store holds certificates only


BEGIN = "-----BEGIN CERTIFICATE-----"
NO_HOST = ("intercepted.invalid",)
"""There is always one leaf, so that the first intercepted host changes no listener."""


@dataclass(slots=True, kw_only=True)
class Trust:
    """The run's CA and the leafs made so far, by the names they carry."""

    ca: KeyPair
    named: tuple[str, str] | None = None
    """Namespace and name of the Secret that the CA is from; None where it was made for this run."""

    _leafs: dict[tuple[str, ...], KeyPair] = field(default_factory=dict)

    @classmethod
    def fresh(cls, now: datetime) -> "Trust":
        return cls(ca=make_ca(now=now, name="Groyne CA of this run"))

    def leafs(self, names: Iterable[str], now: datetime) -> tuple[Pair, ...]:
        """A leaf for every chunk of names; one that still fits is kept."""
        made = []
        kept: dict[tuple[str, ...], KeyPair] = {}
        for chunk in chunk_names(names):
            leaf = self._leafs.get(chunk)
            if leaf is None or not leaf_fits(leaf, self.ca, chunk, now):
                leaf = make_leaf(self.ca, chunk, now=now)
            kept[chunk] = leaf
            made.append(Pair(certificate=leaf.cert_pem, key=leaf.key_pem))
        self._leafs = kept
        return tuple(made)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundles:
    """Texts for the public directory and for Envoy."""

    ca: str
    clients: str
    upstream: str
    truststore: bytes


def bundles(ca: KeyPair, *, client_files: Mapping[str, Path], upstream_ca: Path | None) -> Bundles:
    """`client_files` go by the variable that names each. Raises ValueError, fit for the user, where a file cannot be used."""
    files = {path: variable for variable, path in sorted(client_files.items(), reverse=True)}
    trusted = [certificates(path, variable) for path, variable in sorted(files.items())]
    upstream = [certificates(upstream_ca, "--upstream-ca", strict=True)] if upstream_ca else []
    return Bundles(
        ca=ca.cert_pem,
        clients=bundle(ca.cert_pem, *trusted, *upstream),
        upstream=bundle("", *map(parsable, trusted), *upstream),
        truststore=java_truststore(ca.cert_pem, *trusted, *upstream, password=TRUSTSTORE_PASSWORD),
    )


def certificates(path: Path, named_by: str, *, strict: bool = False) -> str:
    """The text of a file with certificates. Comments may be in any encoding; `strict` asks for some, and that all can be read."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ValueError(f"{named_by} names a file that cannot be read: {because(error)}") from error
    readable = parsable(text).count(BEGIN)
    if strict and not readable:
        raise ValueError(f"{named_by} names {path}, which holds no certificate in PEM form")
    if strict and readable < text.count(BEGIN):
        raise ValueError(f"{named_by} names {path}, in which a certificate cannot be read: remove it, or mend it")
    return text
