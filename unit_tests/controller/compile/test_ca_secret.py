"""The CA's own Secret: there where a CA of ours is needed, with its key and nothing that a pod needs."""

from datetime import UTC, datetime, timedelta

from controller.compile.ca_secret import SUFFIX, ca_secret, held
from controller.compile.material import Before, Material, material
from controller.compile.secret import CONTENT_HASH
from dataplane.certificates import CA_LIFETIME, make_ca
from unit_tests.controller.compile.build import template

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MADE = material(("a.test",), ca_name="CA", now=NOW)


def values(made: Material) -> dict[str, str]:
    found = ca_secret(template(), made).secret
    return {name: value.reveal().decode() for name, value in found.data.items()}


def test_it_holds_the_ca_and_is_the_template_s():
    found = ca_secret(template(), MADE).secret
    assert values(MADE) == {"ca.crt": MADE.ca.cert_pem, "ca.key": MADE.ca.key_pem}
    assert found.metadata["name"] == f"python{SUFFIX}"
    assert found.metadata["annotations"][CONTENT_HASH]
    assert "PRIVATE KEY" not in repr(found)


def test_the_same_ca_is_the_same_bytes():
    assert ca_secret(template(), MADE) == ca_secret(template(), MADE)


def test_a_successor_stands_beside_it_until_it_takes_its_place():
    late = NOW + CA_LIFETIME - timedelta(days=20)
    found = values(material(("a.test",), ca_name="CA", before=Before(ca=MADE.ca), now=late))
    assert set(found) == {"ca.crt", "ca.key", "ca-next.crt", "ca-next.key"}
    assert found["ca.crt"] == MADE.ca.cert_pem


def test_there_is_none_where_nothing_is_intercepted_or_the_ca_is_the_users():
    own = material(("a.test",), ca_name="CA", own_ca=make_ca(now=NOW, name="company"), now=NOW)
    for made in (Material(), own):
        assert ca_secret(template(), made).secret is None


def test_a_name_that_leaves_no_room_is_said():
    (problem,) = ca_secret(template(metadata={"name": "x" * 251}), MADE).problems
    assert (problem.reason, problem.fatal) == ("NameTooLong", True)


def test_what_is_held_is_the_leafs_of_one_and_the_ca_of_the_other():
    egress = {"leaf-0.crt": b"leaf", "ca.crt": b"shown", "ca.key": b"old"}
    assert held(egress, {"ca.crt": b"ca", "ca.key": b"key", "leaf-0.crt": b"no"}) == {
        "leaf-0.crt": b"leaf",
        "ca.crt": b"ca",
        "ca.key": b"key",
    }
    assert held(egress, {}) == {"leaf-0.crt": b"leaf"}


def test_before_there_was_one_the_ca_stood_with_the_leafs():
    egress = {"leaf-0.crt": b"leaf", "ca.crt": b"ca", "ca.key": b"key", "ca-next.key": b"next"}
    assert held(egress, None) == egress
