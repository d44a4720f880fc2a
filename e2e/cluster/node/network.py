"""The node's network: a link to the machine, so that tests reach the API, and a world outside it, so that pods have what to try.

The world is addresses that a policy is to allow or to block, held by a network namespace that is called `outside`: public ones (of the
ranges for documentation), a private one, and the metadata service of clouds. The node has no other route, so nothing leaves the
machine. Each node on the machine has its own subnet on the link.
"""

import fcntl
import ipaddress
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from e2e.cluster import cache
from e2e.cluster.node.cage import Cage

POD_RANGES = ("10.244.0.0/24", "fd00:10:244::/64")
PUBLIC4, PUBLIC6, METADATA, PRIVATE = "203.0.113.10", "2001:db8:1::10", "169.254.169.254", "192.168.77.7"
_MOST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """`number` tells nodes of one machine apart."""

    number: int

    @property
    def here(self) -> tuple[str, str]:
        return f"10.250.{self.number}.1", f"fd00:250:{self.number}::1"

    @property
    def node(self) -> tuple[str, str]:
        return f"10.250.{self.number}.2", f"fd00:250:{self.number}::2"

    @property
    def device(self) -> str:
        return f"groyne{self.number}"


def connect(cage: Cage) -> Link:
    """The link goes when the cage's network goes."""
    cache.root().mkdir(parents=True, exist_ok=True)
    with (cache.root() / "network.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        link = Link(number=_free_number())
        _batch((), _link_here(link, cage.pid))
    _batch(cage.inside, _link_there(link))
    cage.run("ip", "netns", "add", "outside")
    _batch(cage.inside, _way_outside())
    _batch((*cage.inside, "nsenter", "--net=/run/netns/outside", "--"), _outside())
    cage.run("sh", given=_ROUTING)
    return link


# Bridged packets from pod to pod go past the policies too.
_ROUTING = """set -e
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
echo 1 >/proc/sys/net/bridge/bridge-nf-call-ip6tables
"""


def _free_number() -> int:
    taken = {each["ifname"] for each in json.loads(subprocess.check_output(["ip", "-json", "link"]))}
    return next(number for number in range(1, _MOST) if Link(number=number).device not in taken)


def _link_here(link: Link, pid: int) -> Sequence[str]:
    return [
        f"link add {link.device} type veth peer name eth0 netns {pid}",
        *_addresses(link.device, link.here, (24, 64)),
        f"link set {link.device} up",
    ]


def _link_there(link: Link) -> Sequence[str]:
    return ["link set lo up", *_addresses("eth0", link.node, (24, 64)), "link set eth0 up"]


def _way_outside() -> Sequence[str]:
    return [
        "link add outside type veth peer name eth0 netns outside",
        *_addresses("outside", ("198.51.100.1", "2001:db8:ffff::1"), (24, 64)),
        "link set outside up",
        *(f"route add {address} via {_gateway(address, 2)}" for address in (PUBLIC4, METADATA, PRIVATE, PUBLIC6)),
    ]


def _outside() -> Sequence[str]:
    return [
        "link set lo up",
        *_addresses("eth0", ("198.51.100.2", "2001:db8:ffff::2"), (24, 64)),
        "link set eth0 up",
        *_addresses("lo", (PUBLIC4, METADATA, PRIVATE, PUBLIC6), (32, 32, 32, 128)),
        *(f"route add {network} via {_gateway(network, 1)}" for network in POD_RANGES),
    ]


def _gateway(destination: str, end: int) -> str:
    return f"2001:db8:ffff::{end}" if ipaddress.ip_network(destination).version == 6 else f"198.51.100.{end}"


def _addresses(device: str, addresses: Sequence[str], lengths: Sequence[int]) -> Sequence[str]:
    """Without the second in which an IPv6 address is tried for being unique."""
    return [
        f"address add {address}/{length} dev {device}{' nodad' if ':' in address else ''}"
        for address, length in zip(addresses, lengths, strict=True)
    ]


def _batch(enter: Sequence[str], lines: Sequence[str]) -> None:
    done = subprocess.run([*enter, "ip", "-batch", "-"], input="\n".join(lines) + "\n", capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip: {done.stderr.strip()}")
