"""The `except` lists: nothing private is left out, nothing is said twice, and the API server accepts them."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.compile.exclusions import internet_peers

NETWORKS = st.one_of(
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(lambda pair: str(ip_network((pair[0], pair[1]), strict=False))),
    st.tuples(st.integers(0, 2**128 - 1), st.integers(0, 128)).map(lambda pair: str(ip_network((pair[0], pair[1]), strict=False))),
)


def excluded(peers: list[dict]) -> dict[str, list[str]]:
    return {peer["ipBlock"]["cidr"]: peer["ipBlock"]["except"] for peer in peers}


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3",
        "172.31.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "100.64.0.1",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fe80::1",
    ],
)
def test_private_and_metadata_addresses_are_excluded(address):
    """Clouds' metadata services among them, wherever they hide."""
    found = ip_address(address)
    networks = [ip_network(text) for texts in excluded(internet_peers(())[0]).values() for text in texts]
    assert any(found in network for network in networks if network.version == found.version)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "140.82.112.3", "2606:4700::1111"])
def test_the_internet_is_not(address):
    """The control."""
    found = ip_address(address)
    networks = [ip_network(text) for texts in excluded(internet_peers(())[0]).values() for text in texts]
    assert not any(found in network for network in networks if network.version == found.version)


@given(st.lists(NETWORKS, max_size=12))
def test_laws(extra):
    """Every range given is covered; exceptions are proper parts of their block and apart from each other; order does not matter."""
    peers, problems = internet_peers(extra)
    assert not problems
    assert internet_peers(list(reversed(extra))) == (peers, ())
    found = excluded(peers)
    for everywhere, texts in found.items():
        networks = [ip_network(text) for text in texts]
        assert all(network.subnet_of(ip_network(everywhere)) and network.prefixlen > 0 for network in networks)
        assert not any(one.overlaps(other) for index, one in enumerate(networks) for other in networks[index + 1 :])
    for text in extra:
        network = ip_network(text)
        if network.version == 6 and network.network_address.ipv4_mapped and network.prefixlen >= 96:
            continue
        block = found.get("0.0.0.0/0" if network.version == 4 else "::/0")
        assert block is None or any(network.subnet_of(ip_network(kept)) for kept in block)


def test_what_is_no_range_is_said_and_the_others_hold():
    """An operator's slip of the keyboard opens nothing else."""
    peers, problems = internet_peers(["34.0.0.0/8", "34.0.0.0/64", "", "10.96.0.0/12"])
    assert [problem.reason for problem in problems] == ["InvalidRange", "InvalidRange"]
    assert "34.0.0.0/8" in excluded(peers)["0.0.0.0/0"]
