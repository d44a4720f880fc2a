"""Which authority signs, which will, and which are still trusted: one trust domain's state, and the step from it to the next.

        made             successor made      successor signs          the old one ends
    ────┼────────────────┼───────────────────┼────────────────────────┼────▶
        one in bundles   two, the old signs  two, the new signs        one

Everybody trusts a successor for half of the sixty days before it signs anything, and the old one until nothing that it signed can be
valid. Its key is thrown away when it signs no more. In and out are the files of one Secret; only content that does not parse counts as
missing: a Secret that could not be read is the caller's business and must never come here as "none".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from controller.compile.material import pair_files, text_pair
from controller.compile.workload_certificates import begins, is_authority, make_authority, usable_authority
from dataplane.certificate_parts import KeyPair
from dataplane.certificates import ends_at

SIGNING, NEXT, BEFORE = "ca", "ca-next", "ca-before"
SUCCESSOR_BEFORE = timedelta(days=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorities:
    """`before` is the certificate of the one that signed until the last change, as long as it is trusted; "" where there is none."""

    trust_domain: str
    signing: KeyPair
    successor: KeyPair | None = None
    before: str = ""

    @property
    def trusted(self) -> tuple[str, ...]:
        """Certificates as PEM texts."""
        return tuple(filter(None, (self.signing.cert_pem, self.successor.cert_pem if self.successor else "", self.before)))

    @property
    def bundle(self) -> str:
        return "".join(self.trusted)

    @property
    def due(self) -> datetime:
        """When the next step is to be taken."""
        end = ends_at(self.signing.cert_pem)
        steps = [half_way(self.successor, end) if self.successor else end - SUCCESSOR_BEFORE]
        return min([*steps, ends_at(self.before)] if self.before else steps)

    @property
    def files(self) -> Mapping[str, str]:
        following = pair_files(NEXT, self.successor) if self.successor else {}
        return {**pair_files(SIGNING, self.signing), **following, **({f"{BEFORE}.crt": self.before} if self.before else {})}


def authorities(data: Mapping[str, bytes], trust_domain: str, *, now: datetime) -> Authorities:
    """`data` is what the Secret holds; {} where there is none. Equal to what was held where nothing is due."""
    found = read(data, trust_domain)
    if found and now < ends_at(found.signing.cert_pem):
        return stepped(found, now)
    # Nothing that it signed is valid: there is nobody to wait for.
    waiting = found.successor if found and found.successor and now < ends_at(found.successor.cert_pem) else None
    return Authorities(trust_domain=trust_domain, signing=waiting or make_authority(trust_domain, now=now))


def stepped(found: Authorities, now: datetime) -> Authorities:
    end = ends_at(found.signing.cert_pem)
    before = found.before if found.before and now < ends_at(found.before) else ""
    successor = found.successor
    if successor is None and now >= end - SUCCESSOR_BEFORE:
        successor = make_authority(found.trust_domain, now=now)
    if successor and now >= half_way(successor, end):
        return Authorities(trust_domain=found.trust_domain, signing=successor, before=found.signing.cert_pem)
    return Authorities(trust_domain=found.trust_domain, signing=found.signing, successor=successor, before=before)


def half_way(successor: KeyPair, end: datetime) -> datetime:
    """Between the successor's beginning and the end of the one that signs: also where the controller was away and the beginning is late."""
    begin = begins(successor.cert_pem)
    return begin + max(end - begin, timedelta()) / 2


def read(data: Mapping[str, bytes], trust_domain: str) -> Authorities | None:
    """None where there is no authority of this trust domain."""
    signing, successor = (usable(text_pair(data, name), trust_domain) for name in (SIGNING, NEXT))
    if signing is None:
        return Authorities(trust_domain=trust_domain, signing=successor) if successor else None
    before = data.get(f"{BEFORE}.crt", b"").decode("utf-8", "replace")
    return Authorities(trust_domain=trust_domain, signing=signing, successor=successor, before=before if is_authority(before) else "")


def usable(pair: KeyPair | None, trust_domain: str) -> KeyPair | None:
    return pair if pair and usable_authority(pair, trust_domain) else None
