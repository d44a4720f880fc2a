"""The cluster's own ranges: all of them are excluded, in few words that nodes' coming and going seldom changes."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.compile.exclusions import internet_peers
from controller.compile.ranges import MOST, WIDEST, cluster_ranges

Raw = dict[str, Any]
IPV4 = st.tuples(st.integers(0, 2**32 - 1), st.integers(8, 32)).map(lambda pair: str(ip_network(pair, strict=False)))
IPV6 = st.tuples(st.integers(0x2 << 124, (0x4 << 124) - 1), st.integers(20, 128)).map(lambda pair: str(ip_network(pair, strict=False)))
RANGES = st.lists(st.one_of(IPV4, IPV6), max_size=2)
JUNK: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=20),
        IPV4,
        st.sampled_from(["::/0", "1.2.3.4%eth0", "fe80::1%1"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["cidrs", "podCIDR", "podCIDRs", "addresses", "type", "address", "x"]), inner, max_size=4),
    ),
    max_leaves=12,
)


def service_cidr(*cidrs: str) -> Raw:
    return {"kind": "ServiceCIDR", "metadata": {"name": "kubernetes"}, "spec": {"cidrs": list(cidrs)}}


def node(*cidrs: str, internal: tuple[str, ...] = (), external: tuple[str, ...] = ()) -> Raw:
    addresses = [{"type": kind, "address": text} for kind, texts in (("InternalIP", internal), ("ExternalIP", external)) for text in texts]
    spec = {"podCIDR": cidrs[0], "podCIDRs": list(cidrs)} if cidrs else {}
    return {
        "kind": "Node",
        "metadata": {"name": "n"},
        "spec": spec,
        "status": {"addresses": [*addresses, {"type": "Hostname", "address": "n"}]},
    }


NODES = st.builds(lambda cidrs, internal: node(*cidrs, internal=tuple(map(str, internal))), RANGES, st.lists(st.ip_addresses(), max_size=2))


def test_a_usual_cluster_has_nothing_to_add():
    """Private ranges are excluded anyway, so nodes that come and go change no policy."""
    nodes = [node(f"10.244.{n}.0/24", f"fd00:10:244:{n}::/64", internal=(f"192.168.1.{n}", "fe80::1")) for n in range(100)]
    assert cluster_ranges([service_cidr("10.96.0.0/12", "fd00:10:96::/112")], nodes) == ()


def test_public_ranges_of_services_and_pods_are_added_sorted_and_joined():
    """IPv4 before IPv6, each in order of address; neighbours are one range, whoever comes first."""
    nodes = [node("34.8.1.0/24"), node("34.8.0.0/24"), node("34.8.4.0/24")]
    expected = ("34.8.0.0/23", "34.8.4.0/24", "34.118.224.0/20", "2600:1900::/108")
    for order in (nodes, nodes[::-1], [*nodes, *nodes]):
        assert cluster_ranges([service_cidr("34.118.224.0/20", "2600:1900::/108")], order) == expected


def test_old_nodes_have_one_pod_range():
    """`podCIDR` counts without `podCIDRs`."""
    assert cluster_ranges([], [{"spec": {"podCIDR": "34.8.1.0/24"}}]) == ("34.8.1.0/24",)


def test_addresses_inside_the_cluster_count_and_outer_ones_do_not():
    """A node's InternalIP is how the cluster's own ports are reached with the cluster's trust; its ExternalIP is as far as anybody's."""
    nodes = [node(internal=("198.51.100.7",), external=("203.0.113.9", "2600:1900::9"))]
    assert cluster_ranges([], nodes) == ("198.51.100.7/32",)


def test_a_node_more_in_the_same_ipv6_segment_changes_nothing():
    """Clouds give each node a piece of the subnet's /64; the whole /64 is the cluster's."""
    nodes = [node(f"2600:1900:4000:1:0:{n:x}::/112", internal=(f"2600:1900:4000:1:{n:x}::",)) for n in range(1, 60)]
    assert cluster_ranges([], nodes[:1]) == cluster_ranges([], nodes) == ("2600:1900:4000:1::/64",)


def test_what_the_operator_names_is_not_said_again():
    """With the pods' range in the configuration, a node more changes no policy. A slip in it stays, to be told where the policy is made."""
    nodes = [node(f"34.8.{n}.0/24") for n in range(50)]
    assert cluster_ranges([], nodes, ["34.8.0.0/16", "nonsense"]) == ("34.8.0.0/16", "nonsense")


def test_a_range_too_wide_for_a_cluster_is_not_believed():
    """One node's object could otherwise close the internet for every sandbox."""
    assert cluster_ranges([service_cidr("::/0", "2000::/3")], [node("0.0.0.0/0", "32.0.0.0/3")]) == ()


@pytest.mark.parametrize("step", [4, 512, 8192])
def test_many_public_ranges_share_wider_ones(step):
    """No policy grows beyond a limit, all that was excluded stays so and little else, and one more among them changes nothing."""
    addresses = [ip_address("52.0.0.0") + step * n for n in range(5000)]
    nodes = [node(internal=(str(address),)) for address in addresses]
    found = cluster_ranges([], nodes)
    networks = [ip_network(text) for text in found]
    assert len(found) <= MOST
    assert all(any(address in network for network in networks) for address in addresses)
    assert sum(network.num_addresses for network in networks) < 1.5 * step * len(nodes)
    assert cluster_ranges([], [*nodes, node(internal=(str(addresses[2500] + 1),))]) == found


def test_as_many_as_may_be_stay_as_they_are():
    """The limit is where widening begins."""
    nodes = [node(internal=(str(ip_address("52.0.0.0") + 4 * n),)) for n in range(MOST)]
    assert len(cluster_ranges([], nodes)) == MOST


@given(st.lists(RANGES, max_size=3), st.lists(NODES, max_size=6), st.lists(IPV4, max_size=2))
def test_laws(cidrs, nodes, configured):
    """Whatever the objects' order: in order, apart from each other, nothing said twice, and every range that was given is excluded."""
    services = [service_cidr(*texts) for texts in cidrs]
    found = cluster_ranges(services, nodes, configured)
    assert found == cluster_ranges(services[::-1], nodes[::-1], configured)
    assert list(found[: len(configured)]) == configured
    networks = [ip_network(text) for text in found[len(configured) :]]
    assert networks == sorted(networks, key=lambda network: (network.version, network))
    assert not any(
        one.overlaps(other) for index, one in enumerate(networks) for other in networks[index + 1 :] if one.version == other.version
    )
    excepted = [ip_network(text) for peer in internet_peers(found)[0] for text in peer["ipBlock"]["except"]]
    for text in (
        *configured,
        *(text for texts in cidrs for text in texts),
        *(text for raw in nodes for text in raw["spec"].get("podCIDRs", ())),
    ):
        inside = ip_network(text)
        assert any(inside.version == wide.version and inside.subnet_of(wide) for wide in excepted), text


@given(st.lists(st.dictionaries(st.sampled_from(["spec", "status", "metadata"]), JUNK, max_size=3), max_size=4), NODES)
def test_a_poisoned_object_hides_no_other(junk, good):
    """Wrong types and garbage raise nothing, are not believed beyond reason, and leave what others say."""
    found = cluster_ranges(junk, [*junk, good, *junk])
    assert all(ip_network(text).prefixlen >= WIDEST[ip_network(text).version] for text in found)
    for text in cluster_ranges([], [good]):
        assert any(ip_network(text).version == ip_network(wide).version and ip_network(text).subnet_of(ip_network(wide)) for wide in found)
