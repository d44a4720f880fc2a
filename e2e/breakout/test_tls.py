"""Attempts around TLS: names missing, disagreeing or oddly spelt, hellos in pieces and late, servers and protocols that only seem so."""

import ssl
import time
import warnings

import pytest

from e2e.breakout.hello import client_hello
from e2e.breakout.laptop import Attempt, Laptop, allowed, leaks, refused, refused_each, refused_inside
from e2e.breakout.raw import Handshake, Seen, Stream, request, secure
from e2e.breakout.world import NET, NET6, ROOT

pytest_plugins = ("e2e.breakout.fixtures",)
pytestmark = pytest.mark.envoy

V1 = request("/v1/x", "api.ok.test")
ANY = request("/x", "pass.ok.test")


def hello(authority: str, data: bytes) -> Attempt:
    """A tunnel, and in it a hand-written hello that nobody means to finish."""
    return lambda laptop: laptop.through(authority, data, patience=8)


def over_tls(authority: str, sni: str | None, data: bytes, *, verify: bool = True) -> Attempt:
    return lambda laptop: laptop.tls(authority, sni, data, verify=verify)


def test_the_plain_forms(deny: Laptop, lax: Laptop) -> None:
    """The control of everything below: intercepted with the credential, end-to-end without, and the forbidden host refused."""
    for laptop in (deny, lax):
        visit = allowed(laptop, lambda laptop: laptop.tls("api.ok.test:443", "api.ok.test", V1), "api")
        assert laptop.canary.encode() in visit.raw
        visit = allowed(laptop, lambda laptop: laptop.tls("pass.ok.test:443", "pass.ok.test", ANY), "pass")
        assert visit.sni == "pass.ok.test"
        refused(laptop, lambda laptop: laptop.tls("evil.test:443", "evil.test", request("/", "evil.test")))


def test_no_name_at_all(deny: Laptop) -> None:
    """Without SNI the CONNECT's host is the name: an address that no rule allows is refused before any TLS."""
    authorities = ("evil.test:443", f"{NET}.66:443", f"[{NET6}:66]:443", f"{NET}.10:443")
    refused_each(deny, {authority: over_tls(authority, None, V1) for authority in authorities})


def test_no_sni_where_the_connect_names_an_allowed_host(deny: Laptop) -> None:
    visit = allowed(deny, lambda laptop: laptop.tls("api.ok.test:443", None, V1), "api")
    assert visit.sni == "api.ok.test"


MISMATCHES: dict[str, tuple[str, str | None, str]] = {
    "the Host of a blocked site": ("api.ok.test", "api.ok.test", "evil.test"),
    "the Host of another intercepted site": ("a.wild.ok.test", "a.wild.ok.test", "api.ok.test"),
    "the Host of another site under the same wildcard": ("a.wild.ok.test", "a.wild.ok.test", "b.wild.ok.test"),
    "the Host of an end-to-end site": ("api.ok.test", "api.ok.test", "pass.ok.test"),
    "the SNI of another intercepted site": ("api.ok.test", "a.wild.ok.test", "api.ok.test"),
    "the SNI of another intercepted site, and its Host": ("api.ok.test", "a.wild.ok.test", "a.wild.ok.test"),
    "the SNI of another site under the same wildcard": ("a.wild.ok.test", "b.wild.ok.test", "a.wild.ok.test"),
    "the SNI of a blocked site": ("api.ok.test", "evil.test", "api.ok.test"),
    "no SNI and another Host": ("api.ok.test", None, "a.wild.ok.test"),
    "no SNI and another Host under the wildcard": ("a.wild.ok.test", None, "b.wild.ok.test"),
    "an address as Host": ("api.ok.test", "api.ok.test", f"{NET}.66"),
    "a Host that only begins alike": ("api.ok.test", "api.ok.test", "api.ok.test.evil.test"),
    "a Host that only ends alike": ("a.wild.ok.test", "a.wild.ok.test", "b.a.wild.ok.test"),
}


def test_host_sni_and_connect_are_one_name(deny: Laptop) -> None:
    attempts = {
        name: over_tls(f"{connect}:443", sni, request("/v1/x", host), verify=False) for name, (connect, sni, host) in MISMATCHES.items()
    }
    for record in refused_each(deny, attempts, 421):
        assert record["reason"] == "HostMismatch"


def test_a_second_request_on_the_connection_is_compared_as_well(deny: Laptop) -> None:
    """The first one goes where it should, the second names another host."""

    def attempt(laptop: Laptop) -> Seen:
        stream, _ = laptop.tunnel("api.ok.test:443")
        inner = Stream(secure(stream.socket, laptop.context("http/1.1"), "api.ok.test"))
        assert inner.send(V1).answer().status == 200
        mark = laptop.mark()
        seen = inner.send(request("/v1/x", "evil.test")).answer()
        assert not laptop.since(mark).visits
        inner.close()
        return seen

    mark = deny.mark()
    assert attempt(deny).status == 421
    assert [record["status"] for record in deny.since(mark).records] == [200, 421]


END_TO_END = {
    "another name": ("pass.ok.test:443", "evil.test"),
    "another allowed name": ("pass.ok.test:443", "api.ok.test"),
    "a longer name": ("pass.ok.test:443", "pass.ok.test.evil.test"),
    "a name with a dot at its end": ("pass.ok.test:443", "evil.test."),
    "an address": ("pass.ok.test:443", f"{NET}.66"),
    "bytes that are no name": ("pass.ok.test:443", "\xff\x00evil.test"),
    "an outer name before an encrypted one": ("pass.ok.test:443", "cloudflare-ech.com"),
}


def test_end_to_end_tls_names_the_connects_host(either: Laptop) -> None:
    refused_inside(either, {name: (authority, client_hello(sni, ech="ech" in sni)) for name, (authority, sni) in END_TO_END.items()})


def test_an_encrypted_hello_is_judged_by_its_outer_name(deny: Laptop) -> None:
    refused_each(deny, {outer: hello(f"{outer}:443", client_hello(outer, ech=True)) for outer in ("cloudflare-ech.com", "evil.test")})


def test_spellings_of_a_blocked_name(lax: Laptop) -> None:
    spellings = ("EVIL.test", "evil.test.", "EVIL.TEST.", "eViL.tEsT")
    refused_each(lax, {spelling: over_tls(f"{spelling}:443", spelling, request("/", "evil.test")) for spelling in spellings})


@pytest.mark.parametrize("spelling", ["API.ok.test", "api.OK.test"])
def test_spellings_of_an_allowed_name_are_judged_as_it(deny: Laptop, spelling: str) -> None:
    allowed(deny, lambda laptop: laptop.tls(f"{spelling}:443", spelling, request("/v1/x", spelling)), "api")
    allowed(deny, lambda laptop: laptop.tls("PASS.ok.test:443", "PASS.ok.test", ANY), "pass")


@pytest.mark.parametrize("size", [1, 5, 100])
def test_a_hello_in_pieces_has_the_verdict_of_the_whole(either: Laptop, size: int) -> None:
    """Allowed end-to-end and intercepted hosts are reached; another SNI is refused, however it is cut."""

    def cut(authority: str, sni: str, data: bytes) -> Attempt:
        def attempt(laptop: Laptop) -> Seen:
            stream, seen = laptop.tunnel(authority)
            if seen.status != 200:
                return seen
            shake = Handshake(laptop.context("http/1.1", verify=False), sni)
            stream.pieces(shake.hello(), size)
            done = shake.finish(stream)
            seen = Seen(status=200, body=shake.exchange(stream, data)) if done else Seen(ended=stream.ended)
            stream.close()
            return seen

        return attempt

    assert allowed(either, cut("pass.ok.test:443", "pass.ok.test", ANY), "pass").sni == "pass.ok.test"
    allowed(either, cut("api.ok.test:443", "api.ok.test", V1), "api")
    refused(either, cut("pass.ok.test:443", "evil.test", ANY), 0)


ADMIN = request("/admin", "pass.ok.test")
SPOOFED = client_hello("evil.test")
LATE = {
    "a whole hello": ("pass.ok.test:443", b"", SPOOFED),
    "the second half of a hello": ("pass.ok.test:443", SPOOFED[:50], SPOOFED[50:]),
    "a request that is refused in the clear": ("pass.ok.test:80", b"", ADMIN),
    "the second half of such a request": ("pass.ok.test:80", ADMIN[:1], ADMIN[1:]),
    "a hello to an intercepted host": ("api.ok.test:443", b"", client_hello("api.ok.test")),
    "the second half of such a hello": ("api.ok.test:443", client_hello("api.ok.test")[:50], b"the rest"),
    "a request to an intercepted host": ("api.ok.test:80", b"", request("/admin", "api.ok.test")),
}


def test_silence_makes_nothing_pass_unread(lax: Laptop, deny: Laptop) -> None:
    """Envoy stops waiting for a hello or a request after 5 s: what could have been judged is not passed as raw bytes then."""
    marks = [laptop.mark() for laptop in (lax, deny)]
    waiting = [(name, laptop.tunnel(authority)[0].send(first)) for laptop in (lax, deny) for name, (authority, first, _) in LATE.items()]
    time.sleep(5.6)
    for name, stream in waiting:
        _, _, then = LATE[name]
        seen = stream.send(then).rest(patience=4)
        assert seen.ended in ("closed", "reset"), (name, seen)
        assert not seen.body, (name, seen)
        stream.close()
    for laptop, mark in zip((lax, deny), marks, strict=True):
        happened = laptop.since(mark)
        assert not happened.visits
        assert [record["reason"] for record in happened.records] == ["NotJudgeable"] * len(LATE), happened.records


def test_raw_bytes_pass_only_where_nothing_but_the_name_is_judged(lax: Laptop, deny: Laptop) -> None:
    """SSH, where the server speaks first or at once: no HTTP rule speaks of free.ok.test, and no last rule refuses the rest."""
    banner = b"SSH-2.0-attempt\r\n"
    mark = lax.mark()
    assert lax.through("free.ok.test:22", banner, patience=2).body == b"reached pass"
    happened = lax.since(mark)
    assert [visit.server for visit in happened.visits] == ["pass"]
    refused(lax, hello("api.ok.test:22", banner), 0)
    refused_inside(deny, {port: (f"pass.ok.test:{port}", banner) for port in ("22", "443")})


def test_http_on_the_tls_port_is_judged_as_http(either: Laptop) -> None:
    allowed(either, lambda laptop: first_answer(laptop, "pass.ok.test:443", ANY), "pass")
    refused(either, lambda laptop: first_answer(laptop, "pass.ok.test:443", request("/", "evil.test")))
    refused(either, lambda laptop: first_answer(laptop, "api.ok.test:443", request("/", "evil.test")))


def first_answer(laptop: Laptop, authority: str, data: bytes) -> Seen:
    stream, seen = laptop.tunnel(authority)
    seen = stream.send(data).answer() if seen.status == 200 else seen
    stream.close()
    return seen


def test_tls_on_the_http_port_is_judged_as_tls(deny: Laptop) -> None:
    allowed(deny, lambda laptop: laptop.tls("pass.ok.test:80", "pass.ok.test", ANY), "pass")
    allowed(deny, lambda laptop: laptop.tls("api.ok.test:80", "api.ok.test", request("/v1/x", "api.ok.test:80")), "api")
    refused(deny, hello("pass.ok.test:80", SPOOFED), 0)


@pytest.mark.parametrize("host", ["untrusted", "expired", "misnamed"])
def test_a_server_that_cannot_prove_its_name_gets_nothing(deny: Laptop, host: str) -> None:
    """502 or 503, and not one byte of a request, let alone the credential."""
    mark = deny.mark()
    seen = deny.tls(f"{host}.ok.test:443", f"{host}.ok.test", request("/v1/x", f"{host}.ok.test"))
    happened = deny.since(mark)
    assert seen.status in (502, 503), seen
    assert all(not visit.raw for visit in happened.visits), happened.visits
    assert [record["reason"] for record in happened.records] == ["UpstreamUnreachable"], happened.records


def old_tls(laptop: Laptop) -> Seen:
    context = laptop.context(verify=False)
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    stream, _ = laptop.tunnel("api.ok.test:443")
    try:
        context.wrap_socket(stream.socket, server_hostname="api.ok.test")
    except OSError:
        return Seen(ended="handshake")
    return Seen(status=200)


WEAK = {
    "no encryption": client_hello("api.ok.test", suites=(0x0001, 0x0002, 0x003B), version=0x0303),
    "export suites": client_hello("api.ok.test", suites=(0x0003, 0x0006, 0x0008), version=0x0301),
    "SSL 3": client_hello("api.ok.test", version=0x0300),
}


def test_weak_protocols_are_refused(deny: Laptop) -> None:
    refused(deny, old_tls, 0)
    refused_inside(deny, {name: ("api.ok.test:443", data) for name, data in WEAK.items()})


def test_a_wildcard_is_any_depth(deny: Laptop) -> None:
    """A deeper name is judged like the others, but a leaf of one label cannot name it: a client that verifies stops there."""
    host, deep = "a.wild.ok.test", "a.b.wild.ok.test"
    for name, verify in ((host, True), (deep, False)):
        visit = allowed(deny, lambda laptop, n=name, v=verify: laptop.tls(f"{n}:443", n, request("/", n), verify=v), "wild")
        assert b"x-rule: wild" in visit.raw
    record = refused(deny, lambda laptop: laptop.tls(f"{deep}:443", deep, request("/", deep)), 0)
    assert record["reason"] == "ClientRefusedCertificate"


def test_a_wildcard_is_not_its_apex_nor_a_look_alike(deny: Laptop) -> None:
    hosts = ("wild.ok.test", "xwild.ok.test", "a.xwild.ok.test", "wild.ok.test.evil.test")
    refused_each(deny, {host: over_tls(f"{host}:443", host, request("/", host)) for host in hosts})


def test_what_cannot_be_closed_is_written_down() -> None:
    """Fronting behind an end-to-end name, the inner name of an encrypted hello, deep names under a wildcard, echoed credentials."""
    text = (ROOT / "docs" / "security.md").read_text()
    for limit in ("Fronting on end-to-end hosts.", "Encrypted Client Hello.", "under an intercepted wildcard.", "Echo endpoints."):
        assert limit in text


def test_the_credential_was_nowhere_but_at_its_host(deny: Laptop, lax: Laptop) -> None:
    assert not leaks(deny)
    assert not leaks(lax)
