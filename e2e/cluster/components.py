"""How etcd, the API server and the controller manager are started: their flags, each that is not obvious with its reason.

In come a place, files and settings, out go commands. What starts them, and what a node needs besides, is said elsewhere.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.binaries import command
from e2e.cluster.pki import Pair

IPV4_SERVICES, IPV6_SERVICES = "10.96.0.0/16", "fd00:10:96::/112"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`service_ranges`: the first one's family is the cluster's own. `watch_cache`: without it every read and watch asks etcd itself."""

    service_ranges: tuple[str, ...] = (IPV4_SERVICES, IPV6_SERVICES)
    watch_cache: bool = True
    etcd: tuple[str, ...] = ()
    apiserver: tuple[str, ...] = ()
    controller_manager: tuple[str, ...] = ()

    @property
    def kubernetes_address(self) -> str:
        """Of the Service `kubernetes`: the first of its range."""
        return str(ipaddress.ip_network(self.service_ranges[0])[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the components listen: `enter` is put before each command, to start it in a network of its own."""

    addresses: tuple[str, ...] = ("127.0.0.1", "::1")
    enter: tuple[str, ...] = ()
    api_port: int
    etcd_port: int
    peer_port: int

    @property
    def server(self) -> str:
        return f"https://{self.addresses[0]}:{self.api_port}"

    @property
    def etcd(self) -> str:
        return f"http://{self.addresses[0]}:{self.etcd_port}"

    def advertised(self, service_range: str) -> str:
        """The address of the same family as the Services', or the API server refuses to start."""
        version = ipaddress.ip_network(service_range).version
        return next(each for each in self.addresses if ipaddress.ip_address(each).version == version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """`kubelet_client` is only there where there is a kubelet."""

    directory: Path
    authority: Path
    serving: Pair
    signing: Pair
    controller_manager: Path
    kubelet_client: Pair | None = None

    @property
    def audit_log(self) -> Path:
        return self.directory / "audit.log"

    @property
    def audit_policy(self) -> Path:
        return self.directory / "audit-policy.json"


def etcd(place: Place, files: Files, settings: Settings) -> Sequence[str]:
    peers = f"http://{place.addresses[0]}:{place.peer_port}"
    return [
        *place.enter,
        *command("etcd"),
        f"--data-dir={files.directory / 'etcd'}",
        f"--listen-client-urls={place.etcd}",
        f"--advertise-client-urls={place.etcd}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--unsafe-no-fsync",  # the machine's crash would lose data, ours would not
        "--log-level=warn",
        *settings.etcd,
    ]


def apiserver(place: Place, files: Files, settings: Settings) -> Sequence[str]:
    kubelet = _kubelet_flags(files) if files.kubelet_client else ["--endpoint-reconciler-type=none"]  # loopback is no endpoint
    return [
        *place.enter,
        *command("apiserver"),
        f"--etcd-servers={place.etcd}",
        f"--bind-address={place.addresses[0]}",
        f"--advertise-address={place.advertised(settings.service_ranges[0])}",
        f"--secure-port={place.api_port}",
        f"--tls-cert-file={files.serving.certificate}",
        f"--tls-private-key-file={files.serving.key}",
        f"--client-ca-file={files.authority}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={files.signing.certificate}",
        f"--service-account-signing-key-file={files.signing.key}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--service-cluster-ip-range={','.join(settings.service_ranges)}",
        "--allow-privileged=true",
        f"--audit-policy-file={files.audit_policy}",
        f"--audit-log-path={files.audit_log}",
        "--audit-log-maxsize=4000",  # MB: never turned over while a test reads it
        f"--watch-cache={str(settings.watch_cache).lower()}",
        *kubelet,
        *settings.apiserver,
    ]


def controller_manager(place: Place, files: Files, settings: Settings) -> Sequence[str]:
    return [
        *place.enter,
        *command("controller-manager"),
        f"--kubeconfig={files.controller_manager}",
        "--use-service-account-credentials",
        f"--root-ca-file={files.authority}",
        f"--service-account-private-key-file={files.signing.key}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=1000",  # else it spends four seconds at start waiting for itself
        "--kube-api-burst=1000",
        *settings.controller_manager,
    ]


def _kubelet_flags(files: Files) -> Sequence[str]:
    assert files.kubelet_client is not None
    return [
        f"--kubelet-client-certificate={files.kubelet_client.certificate}",
        f"--kubelet-client-key={files.kubelet_client.key}",
        f"--kubelet-certificate-authority={files.authority}",
        "--kubelet-preferred-address-types=InternalIP",
    ]
