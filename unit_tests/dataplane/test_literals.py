"""Addresses in the authority that are not dialled: what `ipaddress` calls public passes, private and special ones never do."""

import ipaddress

import re2
from hypothesis import example, given
from hypothesis import strategies as st

from dataplane.literals import NOT_PUBLIC_IPV4, NOT_PUBLIC_LITERAL


def refused(authority: str) -> bool:
    return re2.fullmatch(NOT_PUBLIC_LITERAL, authority) is not None


@given(st.ip_addresses(v=4), st.sampled_from(["", ":80", ":65535"]))
def test_an_ipv4_literal_is_refused_exactly_in_the_listed_networks(address, port):
    """The regex says what the networks say, with a port or without."""
    assert refused(f"{address}{port}") == any(address in network for network in NOT_PUBLIC_IPV4)


@given(st.one_of(*(st.ip_addresses(network=network) for network in NOT_PUBLIC_IPV4)))
def test_every_listed_address_is_refused(address):
    """No octet's range is off by one."""
    assert refused(str(address))


@given(st.ip_addresses(v=6))
@example(ipaddress.IPv6Address("::1"))
@example(ipaddress.IPv6Address("::ffff:10.0.0.1"))
@example(ipaddress.IPv6Address("fd00:ec2::254"))
@example(ipaddress.IPv6Address("2002:a00:1::"))
@example(ipaddress.IPv6Address("2001::1"))
@example(ipaddress.IPv6Address("64:ff9b::a00:1"))
def test_of_ipv6_only_global_unicast_passes(address):
    """Loopback, link-local, unique local, and whatever embeds an IPv4 address are refused."""
    embeds = address.sixtofour is not None or address.teredo is not None
    passes = address in ipaddress.IPv6Network("2000::/3") and not embeds
    assert refused(f"[{address}]:443") != passes


def test_names_are_not_taken_for_addresses():
    """They are judged after they were resolved."""
    assert not any(refused(name) for name in ("10.example.test", "localhost", "127.0.0.1.example.test"))
