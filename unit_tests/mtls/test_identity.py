"""What a certificate says of its holder."""

from datetime import timedelta

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from mtls.identity import IdentityError, Purpose, Refusal, parse_peer, verify
from mtls.spiffe import Peers
from unit_tests.mtls.pki import BOTH, CLIENT, HOUR, Made, authority, leaf, wall

ROOT = authority()
PEERS = Peers.of(CLIENT)


def refusal(made: Made, *, purpose: Purpose = Purpose.CLIENT, later: timedelta = timedelta()) -> Refusal:
    with pytest.raises(IdentityError) as caught:
        verify(made.certificate, peers=PEERS, purpose=purpose, now=wall() + later)
    return caught.value.reason


def test_a_certificate_with_the_one_expected_id_is_accepted():
    found = verify(leaf(ROOT, CLIENT).certificate, peers=PEERS, purpose=Purpose.CLIENT, now=wall())
    assert str(found) == CLIENT


def test_exactly_one_uri_is_an_identity_also_where_the_expected_one_is_among_them():
    assert refusal(leaf(ROOT)) is Refusal.NO_ID
    assert refusal(leaf(ROOT, dns=())) is Refusal.NO_ID
    assert refusal(leaf(ROOT, CLIENT, "spiffe://prod.example/other")) is Refusal.SEVERAL_IDS
    assert refusal(leaf(ROOT, CLIENT, "https://prod.example/")) is Refusal.SEVERAL_IDS
    assert refusal(leaf(ROOT, "https://prod.example/ns/team-a/sa/agent")) is Refusal.BAD_ID


def test_somebody_else_is_refused_by_a_text_that_names_both():
    with pytest.raises(IdentityError, match=rf"it is spiffe://prod.example/other; expected is {CLIENT}") as caught:
        verify(leaf(ROOT, "spiffe://prod.example/other").certificate, peers=PEERS, purpose=Purpose.CLIENT, now=wall())
    assert caught.value.reason is Refusal.WRONG_ID


def test_a_certificate_must_be_made_for_the_purpose_and_none_said_is_none():
    assert refusal(leaf(ROOT, CLIENT, usages=())) is Refusal.USAGE
    assert refusal(leaf(ROOT, CLIENT, usages=BOTH[:1]), purpose=Purpose.CLIENT) is Refusal.USAGE
    assert refusal(leaf(ROOT, CLIENT, usages=BOTH[1:]), purpose=Purpose.SERVER) is Refusal.USAGE
    assert refusal(leaf(ROOT, CLIENT, usages=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])) is Refusal.USAGE


def test_an_authority_speaks_for_nobody():
    assert refusal(leaf(ROOT, CLIENT, ca=True)) is Refusal.AUTHORITY
    assert refusal(leaf(ROOT, CLIENT, signs=True)) is Refusal.AUTHORITY
    assert refusal(ROOT) is Refusal.AUTHORITY


def test_a_certificate_counts_from_its_beginning_until_its_end():
    made = leaf(ROOT, CLIENT)
    assert refusal(made, later=-2 * HOUR) is Refusal.NOT_YET_VALID
    assert refusal(made, later=2 * HOUR) is Refusal.EXPIRED


@pytest.mark.parametrize("pem", [True, False])
def test_what_is_no_certificate_is_refused(pem):
    with pytest.raises(IdentityError) as caught:
        parse_peer(b"no certificate", pem=pem)
    assert caught.value.reason is Refusal.UNREADABLE
