"""CA, leafs and bundle of one template: what was made before is kept as long as it serves, the rest is made anew.

In: the names to intercept, the user's own CA where there is one, what the Secret held, and the clock. Only content that does
not parse counts as missing: a Secret that could not be read is the caller's business and must never come here as "none".

A CA is replaced in two steps, because processes read their bundle when they start: thirty days before its end a successor
joins the bundle, fifteen days before it the leafs are signed by the successor.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from crds.problem import Problem
from dataplane.certificate_parts import KeyPair
from dataplane.certificates import RENEW_BEFORE, chunk_names, leaf_fits, load_ca, make_ca, make_leaf, needs_renewal
from dataplane.compile import Pair
from dataplane.external import CLIENT_CERTIFICATE
from dataplane.truststore import bundle

CA, NEXT, BUNDLE = "ca", "ca-next", "ca-bundle.crt"
SWITCH_BEFORE = timedelta(days=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """`own`: the CA is the user's, whose key stays in the user's Secret."""

    ca: KeyPair | None = None
    successor: KeyPair | None = None
    own: bool = False
    leafs: tuple[KeyPair, ...] = ()

    @property
    def pairs(self) -> tuple[Pair, ...]:
        return tuple(Pair(certificate=leaf.cert_pem, key=leaf.key_pem) for leaf in self.leafs)

    @property
    def kept(self) -> Mapping[str, str]:
        """For the CA's own Secret: what must be found again and no pod may have."""
        if self.ca is None or self.own:
            return {}
        return {**pair_files(CA, self.ca), **(pair_files(NEXT, self.successor) if self.successor else {})}

    @property
    def files(self) -> Mapping[str, str]:
        """By key of the unified Secret. Nothing where nothing is intercepted, so that old keys go away."""
        if self.ca is None:
            return {}
        leafs = {name: text for number, leaf in enumerate(self.leafs) for name, text in pair_files(f"leaf-{number}", leaf).items()}
        trusted = bundle(self.ca.cert_pem, self.successor.cert_pem) if self.successor else bundle(self.ca.cert_pem)
        return {f"{CA}.crt": self.ca.cert_pem, **leafs, BUNDLE: trusted}


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What the Secrets held. A pair that does not parse, or whose key is another's, is as good as none."""

    ca: KeyPair | None = None
    successor: KeyPair | None = None
    leafs: tuple[KeyPair, ...] = ()
    client: KeyPair | None = None
    """By which the template's sidecars are known to ext-proc."""


NOTHING_BEFORE = Before()


def read_before(data: Mapping[str, bytes], now: datetime) -> Before:
    """`data` is the decoded content of the template's Secrets, see `ca_secret.held`."""
    numbers = (number for number in range(len(data)) if f"leaf-{number}.crt" in data)
    leafs = (text_pair(data, f"leaf-{number}") for number in numbers)
    return Before(
        ca=read_ca(data, CA, now),
        successor=read_ca(data, NEXT, now),
        leafs=tuple(leaf for leaf in leafs if leaf),
        client=text_pair(data, CLIENT_CERTIFICATE),
    )


def material(
    names: Iterable[str], *, ca_name: str, own_ca: KeyPair | None = None, before: Before = NOTHING_BEFORE, now: datetime
) -> Material:
    """`names` are the intercepted hosts' patterns."""
    chunks = chunk_names(names)
    if not chunks:
        return Material()
    ca, successor = (own_ca, None) if own_ca else authorities(ca_name, before, now)
    leafs = tuple(kept_leaf(chunk, ca, before, now) or make_leaf(ca, chunk, now=now) for chunk in chunks)
    return Material(ca=ca, successor=successor, own=own_ca is not None, leafs=leafs)


def authorities(name: str, before: Before, now: datetime) -> tuple[KeyPair, KeyPair | None]:
    """The CA that signs, and the one that will."""
    if before.ca is None:
        return before.successor or make_ca(now=now, name=name), None
    if not needs_renewal(before.ca, now, RENEW_BEFORE):
        return before.ca, None
    successor = before.successor or make_ca(now=now, name=name)
    if needs_renewal(before.ca, now, SWITCH_BEFORE):
        return successor, None
    return before.ca, successor


def kept_leaf(names: tuple[str, ...], ca: KeyPair, before: Before, now: datetime) -> KeyPair | None:
    return next((leaf for leaf in before.leafs if leaf_fits(leaf, ca, names, now)), None)


def read_ca(data: Mapping[str, bytes], name: str, now: datetime) -> KeyPair | None:
    pair = text_pair(data, name)
    checked = load_ca(pair.cert_pem, pair.key_pem, now=now) if pair else None
    return None if isinstance(checked, Problem) else checked


def text_pair(data: Mapping[str, bytes], name: str) -> KeyPair | None:
    try:
        return KeyPair(cert_pem=data[f"{name}.crt"].decode(), key_pem=data[f"{name}.key"].decode())
    except (KeyError, UnicodeDecodeError):
        return None


def pair_files(name: str, pair: KeyPair) -> Mapping[str, str]:
    return {f"{name}.crt": pair.cert_pem, f"{name}.key": pair.key_pem}
