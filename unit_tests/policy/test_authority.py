"""Host lines: one spelling for each host, and none for what only looks like one."""

import ipaddress
import string

import pytest
import re2
from hypothesis import example, given
from hypothesis import strategies as st

from policy.authority import VALID_AUTHORITY, canonical_ip, embedded_ipv4, parse_authority, without_dot

LABEL = set(string.ascii_letters + string.digits + "-_")


def naive(authority):
    """The rule as one would say it, without a regular expression."""
    if authority.startswith("["):
        host, bracket, port = authority[1:].partition("]")
        return bool(bracket) and "%" not in host and is_ip(host, 6) and host.lower() == canonical_ip(host) and naive_port(port)
    host, colon, port = authority.partition(":")
    return naive_host(host) and naive_port(colon + port)


def naive_port(text):
    if not text:
        return True
    number = text[1:]
    return text[0] == ":" and number.isascii() and number.isdigit() and number[0] != "0" and len(number) < 6 and int(number) <= 65535


def naive_host(host):
    labels = host.split(".")
    if not all(label and set(label) <= LABEL for label in labels):
        return False
    return is_ip(host, 4) if is_number(labels[-1]) else True


def is_number(label):
    return set(label) <= set(string.digits) or (label[:2].lower() == "0x" and set(label[2:]) <= set(string.hexdigits))


def is_ip(text, version):
    try:
        address = ipaddress.ip_address(text)
        return address.version == version and text.lower() == canonical_ip(str(address))
    except ValueError:
        return False


PIECES = st.sampled_from(
    [
        "a",
        "Z",
        "0",
        "1",
        "9",
        "10",
        "255",
        "256",
        "65535",
        "65536",
        "0x",
        "0x7f",
        "x",
        ".",
        ".",
        ":",
        ":",
        "::",
        "[",
        "]",
        "-",
        "_",
        "%",
        "f",
        "ffff",
        "@",
        ",",
        "*",
    ]
)
TEXT = st.lists(PIECES, max_size=14).map("".join)
ADDRESS = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda ip: f"[{ip}]"),
    st.ip_addresses(v=6).map(lambda ip: f"[{ip.exploded.upper()}]:443"),
    st.ip_addresses(v=4).map(lambda ip: f"[::ffff:{ip}]"),
    st.ip_addresses(v=4).map(lambda ip: f"[1:2:3:4:5:6:{ip}]"),
)


SPARSE = st.lists(st.sampled_from(["0", "0", "1", "ffff", "db8"]), min_size=8, max_size=8).map(":".join)


@given(SPARSE)
def test_the_canonical_spelling_of_every_address_is_valid(address):
    canonical = str(ipaddress.IPv6Address(address)) if not ipaddress.IPv6Address(address).ipv4_mapped else canonical_ip(address)
    assert parse_authority(f"[{canonical.upper()}]:443") == (canonical, 443)


@pytest.mark.parametrize(
    "address", ["2001:db8:0::1", "0:0:0:0:0:0:0:1", "::ffff:1.2.3.4", "1::0:0:1", "2001:0db8::1", "1::2:0:0:0:1", "1:2:3::5:6:7:8"]
)
def test_other_spellings_of_an_address_are_refused(address):
    """Envoy finds the rules of a host by its text, so there is one text for each."""
    assert parse_authority(f"[{address}]") is None


@given(st.one_of(TEXT, TEXT.map("[{}]".format), ADDRESS, SPARSE.map("[{}]".format), st.text(alphabet=string.printable, max_size=8)))
@example("[::]")
@example("[::%0]")
@example("[1:2:3:4:5:6:7::]")
@example("[1:2:3:4:5:6:7::8]")
@example("0x7g.0x7g")
@example("0.0.0.0:1")
@example("a.01b")
@example("a\n")
def test_the_pattern_for_envoy_is_exactly_the_rule(authority):
    assert bool(re2.fullmatch(VALID_AUTHORITY, authority)) == naive(authority)
    assert (parse_authority(authority) is not None) == naive(authority)


@pytest.mark.parametrize(
    ("authority", "host", "port"),
    [
        ("Api.Example.COM", "api.example.com", None),
        ("api.example.com:8443", "api.example.com", 8443),
        ("my_host-1", "my_host-1", None),
        ("10.0.0.1:80", "10.0.0.1", 80),
        ("[2001:DB8::1]:443", "2001:db8::1", 443),
        ("[::FFFF:102:304]", "::ffff:102:304", None),
        ("4f2a", "4f2a", None),
    ],
)
def test_each_host_has_one_spelling(authority, host, port):
    assert parse_authority(authority) == (host, port)


@pytest.mark.parametrize(
    "authority",
    ["127.1", "0x7f.1", "2130706433", "010.0.0.1", "1.2.3.4.5", "256.1.1.1", "0x7f000001", "a.0x", "017700000001", "1.2.3"],
)
def test_what_only_resolvers_take_for_an_address_is_no_host(authority):
    assert parse_authority(authority) is None


@pytest.mark.parametrize(
    "authority",
    [
        "",
        ":80",
        "a:",
        "a:0",
        "a:080",
        "a:65536",
        "a:80:90",
        "u@a",
        "a,b",
        "a b",
        "::1",
        "[::1",
        "[::1]x",
        "[fe80::1%eth0]",
        "[2001:db8:0::1]",
        "[2001:0db8::1]",
        "[::ffff:1.2.3.4]",
        "a..b",
        ".a",
        "a%2e",
        "é",
        "*",
    ],
)
def test_other_texts_that_name_no_host(authority):
    assert parse_authority(authority) is None


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("h.test.", "h.test"),
        ("h.test..", "h.test."),
        ("h.test.:80", "h.test:80"),
        ("h.test:80.", "h.test:80"),
        ("[::1].:80", "[::1]:80"),
        (".", ""),
        ("h.test", "h.test"),
        ("1.2.3.4.", "1.2.3.4"),
    ],
)
def test_one_trailing_dot_goes_as_envoy_takes_it(sent, kept):
    assert without_dot(sent) == kept


@given(st.ip_addresses(v=6))
def test_an_address_is_the_same_however_it_is_written(address):
    assert canonical_ip(address.exploded) == canonical_ip(str(address).upper())
    assert "." not in canonical_ip(str(address))


@pytest.mark.parametrize(
    ("host", "inner"),
    [
        ("::ffff:a9fe:a9fe", "169.254.169.254"),
        ("64:ff9b::a9fe:a9fe", "169.254.169.254"),
        ("2002:a9fe:a9fe::1", "169.254.169.254"),
        ("::a9fe:a9fe", "169.254.169.254"),
        ("::1", None),
        ("2001:db8::1", None),
        ("10.0.0.1", None),
        ("h.test", None),
    ],
)
def test_an_ipv4_address_inside_an_ipv6_one_is_found(host, inner):
    assert embedded_ipv4(host) == inner
