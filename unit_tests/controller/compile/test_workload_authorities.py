"""An authority is replaced without anybody noticing: whatever is valid is signed by somebody whom everybody trusts."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.compile.workload_authorities import SUCCESSOR_BEFORE, Authorities, authorities
from controller.compile.workload_certificates import AUTHORITY_LIFETIME, begins, make_authority, make_workload, serves
from dataplane.certificate_parts import KeyPair
from dataplane.certificates import ends_at
from mtls.identity import Purpose

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DOMAIN, CLIENT = "cluster.local", "spiffe://cluster.local/ns/team-a/template/python"
DAY = timedelta(days=1)
FIRST = authorities({}, DOMAIN, now=NOW)
END = ends_at(FIRST.signing.cert_pem)


def after(before: Authorities, now: datetime, domain: str = DOMAIN) -> Authorities:
    """As the controller would: what was made is read back from the Secret's content."""
    return authorities({name: text.encode() for name, text in before.files.items()}, domain, now=now)


def test_made_once_and_kept():
    """The second time everything is the same, to the byte."""
    assert after(FIRST, NOW + 200 * DAY) == FIRST
    assert set(FIRST.files) == {"ca.crt", "ca.key"}


def test_a_successor_is_trusted_long_before_it_signs_and_the_old_one_after():
    announced = after(FIRST, END - SUCCESSOR_BEFORE)
    assert announced.signing == FIRST.signing
    assert announced.successor is not None
    assert announced.trusted == (FIRST.signing.cert_pem, announced.successor.cert_pem)
    assert after(announced, END - SUCCESSOR_BEFORE / 2 - DAY) == announced
    changed = after(announced, END - SUCCESSOR_BEFORE / 2)
    assert changed.signing == announced.successor
    assert set(changed.trusted) == set(announced.trusted)
    assert FIRST.signing.key_pem not in changed.files.values()
    assert after(changed, END - DAY) == changed
    assert after(changed, END).trusted == (changed.signing.cert_pem,)


def test_each_step_is_due_when_it_is_said_to_be():
    """And nothing changes a day before."""
    state = FIRST
    for _ in range(9):
        when = state.due
        assert after(state, when - DAY) == state
        following = after(state, when)
        assert following != state
        state = following


def test_who_was_away_past_the_time_still_gives_everybody_half_of_what_is_left():
    late = after(FIRST, END - 4 * DAY)
    assert late.signing == FIRST.signing
    assert END - 2 * DAY - timedelta(hours=1) < late.due < END - 2 * DAY


def test_an_authority_that_has_ended_is_replaced_at_once():
    """Nothing that it signed is valid. A successor that was announced is the one."""
    new = after(FIRST, END)
    assert new.signing != FIRST.signing
    assert new.trusted == (new.signing.cert_pem,)
    announced = after(FIRST, END - SUCCESSOR_BEFORE)
    assert after(announced, END).signing == announced.successor
    assert after(announced, END + 2 * AUTHORITY_LIFETIME).signing not in (FIRST.signing, announced.successor)


def test_another_trust_domain_has_an_authority_of_its_own():
    other = after(FIRST, NOW, "prod.example")
    assert FIRST.signing.cert_pem not in other.trusted


def test_what_cannot_be_used_counts_as_missing_and_the_rest_stays():
    announced = after(FIRST, END - SUCCESSOR_BEFORE)
    data = {name: text.encode() for name, text in announced.files.items()}
    now = END - SUCCESSOR_BEFORE + DAY
    torn = authorities({**data, "ca-next.crt": b"\xff"}, DOMAIN, now=now)
    assert torn.signing == FIRST.signing
    assert torn.successor not in (None, announced.successor)
    strange = authorities({**data, "ca.key": make_authority(DOMAIN, now=NOW).key_pem.encode()}, DOMAIN, now=now)
    assert strange.signing == announced.successor
    assert authorities({**data, "ca-before.crt": b"nothing"}, DOMAIN, now=now) == announced


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=15, max_size=30))
def test_while_the_controller_looks_now_and_then_no_peer_is_ever_strange(looks: list[int]):
    """Whoever has what was written at the last look, and whoever still has what was written at the one before, trust each other."""
    now = END - SUCCESSOR_BEFORE - 20 * DAY
    behind = Shown(state=FIRST, pair=make_workload(FIRST.signing, CLIENT, Purpose.CLIENT, now=now))
    for days in looks:
        now += days * DAY
        ahead = behind.next(now)
        assert behind.trusts(ahead, now)
        assert ahead.trusts(behind, now)
        behind = ahead


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What one side has: a bundle and a certificate."""

    state: Authorities
    pair: KeyPair

    def next(self, now: datetime) -> "Shown":
        state = after(self.state, now)
        kept = serves(self.pair, state.trusted, CLIENT, Purpose.CLIENT, now=now)
        return Shown(state=state, pair=self.pair if kept else make_workload(state.signing, CLIENT, Purpose.CLIENT, now=now))

    def trusts(self, other: "Shown", now: datetime) -> bool:
        signed = serves(other.pair, self.state.trusted, CLIENT, Purpose.CLIENT, now=begins(other.pair.cert_pem))
        return signed and begins(other.pair.cert_pem) <= now < ends_at(other.pair.cert_pem)


def test_no_key_shows_up_in_a_repr():
    announced = after(FIRST, END - SUCCESSOR_BEFORE)
    assert "PRIVATE" not in repr(announced)
