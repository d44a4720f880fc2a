"""Certificates are made once and kept; only names, an end that nears, or broken content make new ones."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.compile.material import Before, Material, material, read_before
from dataplane.certificate_parts import KeyPair
from dataplane.certificates import CA_LIFETIME, make_ca

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("a.test", "*.b.test")
CA_END = NOW + CA_LIFETIME


def make(names=NAMES, before: Material | None = None, now=NOW, own_ca: KeyPair | None = None) -> Material:
    """As a controller would: what was made before is read back from the Secret's content."""
    held = {key: text.encode() for key, text in {**before.files, **before.kept}.items()} if before else {}
    return material(names, ca_name="CA", own_ca=own_ca, before=read_before(held, now), now=now)


def test_made_once_and_kept():
    """The second time everything is the same, to the byte."""
    first = make()
    again = make(before=first, now=NOW + timedelta(days=100))
    assert again.files == first.files


def test_a_new_name_makes_a_new_leaf_only():
    """The CA that clients trust stays."""
    first = make()
    more = make((*NAMES, "c.test"), before=first)
    assert more.ca == first.ca
    assert more.leafs != first.leafs
    san = x509.load_pem_x509_certificate(more.leafs[0].cert_pem.encode()).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert "c.test" in san.value.get_values_for_type(x509.DNSName)


def test_a_leaf_near_its_end_is_signed_anew():
    """Before it ends, by the same CA."""
    first = make()
    later = make(before=first, now=NOW + timedelta(days=380))
    assert later.ca == first.ca
    assert later.leafs != first.leafs


def test_a_ca_is_replaced_in_two_steps():
    """Its successor is trusted for fifteen days before it signs anything, and is then kept in its turn."""
    first = make()
    announced = make(before=first, now=CA_END - timedelta(days=29))
    assert announced.ca == first.ca
    assert announced.successor is not None
    assert announced.successor.cert_pem.strip() in announced.files["ca-bundle.crt"]
    assert make(before=announced, now=CA_END - timedelta(days=28)).successor == announced.successor
    switched = make(before=announced, now=CA_END - timedelta(days=14))
    assert (switched.ca, switched.successor) == (announced.successor, None)
    assert "ca-next.key" not in switched.kept
    assert make(before=switched, now=CA_END + timedelta(days=1)).ca == switched.ca


def test_a_ca_that_ended_while_nobody_looked_is_replaced_at_once():
    """There is nothing to wait for."""
    first = make()
    late = make(before=first, now=CA_END + timedelta(days=1))
    assert late.ca not in (None, first.ca)
    assert late.successor is None


def test_a_ca_s_key_is_among_what_is_kept_and_never_among_the_files_of_pods():
    """Nor is its successor's."""
    made = make(before=make(), now=CA_END - timedelta(days=20))
    assert set(made.kept) == {"ca.crt", "ca.key", "ca-next.crt", "ca-next.key"}
    for pair in (made.ca, made.successor):
        assert not [name for name, text in made.files.items() if pair.key_pem.strip() in text]


def test_nothing_intercepted_nothing_kept():
    """Keys go away with their use."""
    made = make((), before=make())
    assert (made.files, made.kept) == ({}, {})


def test_ones_own_ca_signs_and_its_key_stays_where_it_is():
    """The Secret gets the certificate alone; a CA of ours that was there is dropped."""
    own = make_ca(now=NOW, name="Company")
    made = make(before=make(), own_ca=own)
    assert made.ca == own
    assert made.kept == {}
    assert own.key_pem not in made.files.values()
    assert make(before=made, own_ca=own).files == made.files


def test_a_foreign_pair_is_as_good_as_none():
    """A certificate and a key that do not belong together are replaced."""
    first, other = make(), make()
    mixed = {**first.files, "ca.key": other.kept["ca.key"]}
    assert read_before({key: text.encode() for key, text in mixed.items()}, NOW).ca is None


@settings(max_examples=60)
@given(
    st.dictionaries(st.sampled_from(["ca.crt", "ca.key", "ca-next.crt", "leaf-0.crt", "leaf-0.key", "leaf-7.crt"]), st.binary(max_size=60))
)
def test_no_content_breaks_it(content):
    """Whatever somebody put into the Secret, what comes out serves."""
    before = read_before(content, NOW)
    assert before.ca is None
    made = material(NAMES, ca_name="CA", before=Before(leafs=before.leafs), now=NOW)
    assert made.ca is not None
    assert len(made.leafs) == 1


def test_printed_material_holds_no_key():
    """Neither does what was read back."""
    made = make()
    held = read_before({key: text.encode() for key, text in {**made.files, **made.kept}.items()}, NOW)
    assert "PRIVATE KEY" not in repr(made) + repr(held)
