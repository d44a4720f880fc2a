"""Public or not, by address alone: the first, last and neighbouring address of every network that must not be dialled."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groyne.addresses import judge_address

REFUSED_V4 = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24"),
    *("192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
)
REFUSED_V6 = (
    *("::/32", "::ffff:0:0/96", "64:ff9b:1::/48", "100::/64", "2001:1::/32", "2001:2::/48", "2001:100::/24", "2001:db8::/32", "3fff::/20"),
    *("5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "4000::/2", "8000::/1"),
)
PUBLIC_NEIGHBOURS = (
    *("1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255"),
    *("169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255"),
    *("198.20.0.0", "203.0.112.255", "203.0.114.0", "223.255.255.255", "168.63.129.15", "168.63.129.17", "8.8.8.8", "2000::1"),
    *("2001:200::1", "2001:db7::1", "2001:db9::1", "2001:4860:4860::8888", "2606:4700::1111", "2a00:1450:4001::200e", "3ffe::1"),
)
EMBEDDING = {
    "NAT64": lambda v4: f"64:ff9b::{v4}",
    "6to4": lambda v4: f"2002:{int(ip_address(v4)) >> 16:x}:{int(ip_address(v4)) & 0xFFFF:x}::1",
    "Teredo client": lambda v4: str(ip_address((0x20010000 << 96) | (0x08080808 << 64) | (int(ip_address(v4)) ^ 0xFFFFFFFF))),
    "Teredo server": lambda v4: str(ip_address((0x20010000 << 96) | (int(ip_address(v4)) << 64) | (0x08080808 ^ 0xFFFFFFFF))),
}


@pytest.mark.parametrize("network", REFUSED_V4 + REFUSED_V6)
def test_a_network_is_refused_from_its_first_to_its_last_address(network):
    """Both ends and the middle."""
    whole = ip_network(network)
    middle = whole[whole.num_addresses // 2]
    assert all(judge_address(str(address)) for address in (whole[0], middle, whole[-1]))


@pytest.mark.parametrize("address", PUBLIC_NEIGHBOURS)
def test_what_is_public_passes(address):
    """Addresses right beside the refused networks, and well-known services."""
    assert judge_address(address) is None


@pytest.mark.parametrize("address", ["169.254.169.254", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"])
def test_metadata_services_are_called_by_their_name(address):
    """The reason says what was tried, also where the network around it is refused anyway."""
    assert judge_address(address) == "cloud metadata"


@pytest.mark.parametrize("embed", EMBEDDING.values(), ids=EMBEDDING)
def test_an_address_inside_an_address_decides(embed):
    """NAT64, 6to4 and Teredo lead to the IPv4 address that they hold."""
    assert judge_address(embed("8.8.4.4")) is None
    for private in ("10.1.2.3", "127.0.0.1", "169.254.169.254", "192.168.0.1", "100.64.0.1"):
        assert "inside an IPv6 address" in (judge_address(embed(private)) or "")


@pytest.mark.parametrize(
    "text", ["", "localhost", "127.1", "0x7f000001", "2130706433", "010.0.0.1", "8.8.8.8.", "[::1]", "1.2.3.4/32", "\uff18.8.8.8"]
)
def test_what_is_no_address_does_not_pass(text):
    """Other spellings of addresses are not guessed at."""
    assert judge_address(text) == "not an address"


def test_a_zone_does_not_hide_an_address():
    """`%eth0` is looked past."""
    assert judge_address("fe80::1%eth0") == "link-local"
    assert judge_address("fd00:ec2::254%1") == "cloud metadata"


@given(st.ip_addresses())
def test_what_the_standard_library_calls_private_never_passes(address):
    """Two readings of the registries: ours is the stricter one, but for NAT64, which it looks through."""
    if judge_address(str(address)) is None and address not in ip_network("64:ff9b::/96"):
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved
