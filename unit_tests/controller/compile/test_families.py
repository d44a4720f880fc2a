"""The families of a cluster's pods: found in what the API says, and never narrowed by an object more."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.compile.families import cluster_families
from dataplane.redirect import Families
from unit_tests.controller.compile.test_ranges import JUNK, node, service_cidr

V4, V6 = "10.96.0.0/12", "fd00:96::/112"
SERVICE = {"spec": {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"]}}
SERVICE6 = {"spec": {"clusterIP": "fd00:96::1"}}
RANGES = st.lists(st.sampled_from([V4, V6, "34.8.0.0/16", "nonsense", ""]), max_size=2)
SERVICES = st.sampled_from([None, SERVICE, SERVICE6, {"spec": {"clusterIP": "None", "ipFamilies": ["IPv4", "IPv6"]}}])
WIDTH = {Families.IPV4: {4}, Families.IPV6: {6}, Families.DUAL: {4, 6}}


@pytest.mark.parametrize(
    ("cidrs", "nodes", "service", "expected"),
    [
        ([V4], [["10.244.0.0/24"]], SERVICE, Families.IPV4),
        ([V6], [["fd00:244::/64"]], SERVICE6, Families.IPV6),
        ([V4, V6], [["10.244.0.0/24"]], SERVICE, Families.DUAL),
        ([V4], [], None, Families.IPV4),
        ([V4], [["10.244.0.0/24", "fd00:244::/64"]], SERVICE, Families.DUAL),
        ([], [["10.244.0.0/24"], ["10.244.1.0/24", "fd00:244::/64"]], SERVICE, Families.DUAL),
        ([], [["10.244.0.0/24"], []], SERVICE, Families.IPV4),
        ([], [["fd00:244::/64"]], None, Families.IPV6),
        ([V4], [], SERVICE6, Families.DUAL),
        ([], [[]], SERVICE, Families.DUAL),
        ([], [], None, Families.DUAL),
        (["nonsense"], [["nonsense"]], {"spec": None}, Families.DUAL),
    ],
)
def test_what_clusters_look_like(cidrs: list[str], nodes: list[list[str]], service: Any, expected: Families):
    """Services or pods of a family show it; the Service `kubernetes`, which has one family on dual stacks too, decides nothing alone."""
    assert cluster_families([service_cidr(text) for text in cidrs], [node(*texts) for texts in nodes], service, None) is expected


@given(st.lists(RANGES, max_size=3), st.lists(RANGES, max_size=3), SERVICES, st.sampled_from(Families))
def test_the_operator_is_believed(cidrs, nodes, service, override):
    """Whatever the cluster says."""
    services = [service_cidr(*texts) for texts in cidrs]
    assert cluster_families(services, [node(*texts) for texts in nodes], service, override) is override


@given(st.lists(RANGES, min_size=1, max_size=3), st.lists(RANGES, max_size=3), SERVICES, st.data())
def test_an_object_more_never_takes_a_family_away(cidrs, nodes, service, data):
    """Except from "nothing is known", which stands for both."""
    services, pods = [service_cidr(*texts) for texts in cidrs], [node(*texts) for texts in nodes]
    fewer = cluster_families(services[1:], pods, None, None)
    more = cluster_families(data.draw(st.permutations(services)), data.draw(st.permutations(pods)), service, None)
    known = any(text not in {"nonsense", ""} for texts in (*cidrs[1:], *nodes) for text in texts)
    assert not known or WIDTH[fewer] <= WIDTH[more]


@settings(suppress_health_check=[HealthCheck.too_slow])  # on a machine that has more to do
@given(st.dictionaries(st.sampled_from(["spec", "status"]), JUNK, max_size=2))
def test_a_poisoned_object_takes_nothing_away(junk):
    """Garbage raises nothing; a family that is there stays."""
    assert 4 in WIDTH[cluster_families([junk, service_cidr(V4)], [junk], junk, None)]
    assert 6 in WIDTH[cluster_families([junk], [junk, node("fd00:244::/64")], junk, None)]
