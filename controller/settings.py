"""What an operator can decide about the controller, and nothing else: a value that nothing enforces has no place here.

A field's description says what it means and why its default is what it is; the reference in docs/controller.md and `--help` are made from
it.
"""

import socket
from typing import Literal

from pydantic import Field, model_validator

from controller.settings_values import Id, Pairs
from daemon.endpoint import OptionalEndpoint
from daemon.settings import LABEL, NAME, SUBDOMAIN, Model, OptionalPath, Port, Ranges, Seconds, of, together
from dataplane.external_settings import ExternalSettings, read_settings
from kube.election import ElectionSettings


class Settings(Model):
    """The controller's."""

    namespace: str = Field(
        "",
        description="The one namespace whose templates and profiles are looked after. Without one: all of them.",
        json_schema_extra=of("NAME"),
        pattern=f"^$|{NAME}",
        max_length=63,
    )
    pod_name: str = Field(
        default_factory=socket.gethostname,
        description="Who this process is: in the Lease, in Events and in logs. In a pod, its name (from the downward API).",
        json_schema_extra=of("NAME", default="the host's name"),
        min_length=1,
        max_length=253,
    )
    pod_namespace: str = Field(
        "groyne-system",
        description="Where the controller itself lives, and its Lease with it.",
        json_schema_extra=of("NAME"),
        pattern=NAME,
        max_length=63,
    )
    leader_election: bool = Field(
        True, description="Of several replicas only the holder of the Lease acts. Off only where there can be no second process."
    )
    lease_name: str = Field(
        "groyne-controller",
        description="Two installations that look after different namespaces of one cluster need two names.",
        json_schema_extra=of("NAME"),
        pattern=SUBDOMAIN,
        max_length=253,
    )
    lease_duration: int = Field(
        15,
        description="For how long others wait after the holder's last renewal. As in kube-controller-manager: shorter means hand-overs"
        " because of a slow API server.",
        json_schema_extra=of("SECONDS"),
        ge=1,
        le=3600,
    )
    lease_renew_deadline: Seconds = Field(
        10.0,
        description="A holder that could not renew for so long stops writing and ends. Shorter than lease-duration, so that it has stopped"
        " before another begins.",
        json_schema_extra=of("SECONDS"),
    )
    lease_retry: Seconds = Field(
        2.0,
        description="The time between renewals, and between looks at somebody else's Lease. Shorter than lease-renew-deadline, so that one"
        " lost call is no lost Lease.",
        json_schema_extra=of("SECONDS"),
    )
    once: bool = Field(
        False,
        description="Bring everything up to date once and end: exit code 0 if all of it is, else 1. For CI; no Lease, no port.",
    )
    workers: int = Field(
        16,
        description="How many templates are worked on at once, and a quarter as many profiles' statuses. What takes time is waiting for the"
        " API server, so more than there are cores is right, and much more only queues there.",
        json_schema_extra=of("NUMBER"),
        ge=1,
        le=256,
    )
    reconcile_timeout: Seconds = Field(
        60.0,
        description="One object's turn may take so long; then it is given up and tried again later, so that it holds no worker for ever.",
        json_schema_extra=of("SECONDS"),
    )
    call_deadline: Seconds = Field(
        5.0,
        description="One call of the API server, from the first byte to the last. Generous for a healthy server, short for a dead one.",
        json_schema_extra=of("SECONDS"),
    )
    health_host: str = Field(
        "::",
        description="The address of the port for /healthz, /readyz and /metrics. `::` is every address of both families, or of IPv4 where"
        " the node has no IPv6.",
        json_schema_extra=of("ADDRESS"),
        min_length=1,
        max_length=253,
    )
    health_port: int = Field(8080, description="Its number. 0: there is no such port.", json_schema_extra=of("NUMBER"), ge=0, le=65535)
    metrics_cert: OptionalPath = Field(
        None,
        description="Certificate chain (PEM) with which the whole port speaks TLS; read again when the file changes. Needs metrics-key, and"
        " probes with `scheme: HTTPS`.",
        json_schema_extra=of("FILE"),
    )
    metrics_key: OptionalPath = Field(None, description="The certificate's key (PEM), without a passphrase.", json_schema_extra=of("FILE"))
    drain_timeout: Seconds = Field(
        8.0,
        description="After SIGTERM, what is being worked on may take so long to end before the Lease is released. Shorter than the ten"
        " seconds or more that a pod has.",
        json_schema_extra=of("SECONDS"),
    )
    take_over: bool = Field(
        False,
        description="Also write the NetworkPolicies that agent-sandbox's own controller made. Off: two controllers would undo each other's"
        " work, so its policies are left alone and an Event says so.",
    )
    opt_in: Literal["label", "all"] = Field(
        "label",
        description="`label`: Secrets are read and written only in namespaces that carry opt-in-label (and have a RoleBinding for the"
        " controller). `all`: in every namespace; the controller then needs the right to read every Secret. With namespace, that one"
        " counts as opted in.",
    )
    opt_in_label: str = Field(
        "groyne.dev/secrets=managed",
        description="The label by which a namespace opts in.",
        json_schema_extra=of("KEY=VALUE"),
        pattern=LABEL,
        max_length=380,
    )
    excluded_ranges: Ranges = Field(
        (),
        description='What "the internet" does not mean in the default NetworkPolicy, besides private, shared, link-local and metadata'
        " ranges: the cluster's own ranges where they are public and neither ServiceCIDRs nor Nodes tell them.",
        json_schema_extra=of("CIDR,CIDR…", default="none"),
        max_length=1000,
    )
    families: Literal["auto", "ipv4", "ipv6", "dual"] = Field(
        "auto", description="The IP families of sandbox pods. `auto`: as Services, Nodes and ServiceCIDRs have them."
    )
    nudge: bool = Field(
        True,
        description="Annotate a template's pods after its Secret has changed: the kubelet then refreshes their volume within a second"
        " instead of within about ninety. Off: no right to patch pods is needed.",
    )
    nudge_rate: float = Field(
        50.0,
        description="At most so many pods a second, over all templates: one with a thousand pods must not crowd out everything else.",
        json_schema_extra=of("RATE"),
        gt=0,
        le=10000,
        allow_inf_nan=False,
    )
    allowed_private: Ranges = Field(
        (),
        description="Addresses and ranges that sandboxes may dial although they are not public. Leave metadata addresses out:"
        " they hand out the node's credentials.",
        json_schema_extra=of("CIDR,CIDR…", default="none"),
        max_length=1000,
    )
    sidecar_port: Port = Field(
        15001,
        description="Where the sidecar listens for redirected connections. To be changed only where a sandbox uses this port itself.",
        json_schema_extra=of("NUMBER"),
    )

    ext_proc_address: OptionalEndpoint = Field(
        "",
        description="Where ext-proc is: HOST:PORT of its Service. The controller looks a name up, because sandboxes cannot; its pods"
        " listen on the same port, in the controller's namespace. Without one, profiles that need ext-proc are not accepted.",
        json_schema_extra=of("HOST:PORT"),
    )
    ext_proc_id: Id = Field(
        "",
        description="The SPIFFE id that ext-proc's certificate must have: sidecars talk to nobody else. Needed where certificates come from"
        " files; without one the controller signs for `spiffe://TRUST-DOMAIN/ns/POD-NAMESPACE/sa/groyne-ext-proc`.",
        json_schema_extra=of("ID"),
    )
    ext_proc_certificates: Literal["controller", "files"] = Field(
        "controller",
        description="Who signs what sidecars and ext-proc show each other. `controller`: this process, in Secrets of its own namespace and"
        " in each template's. `files`: somebody else, who puts files into the sidecars' /etc/groyne/ext-proc (cert-manager, SPIRE).",
    )
    trust_domain: str = Field(
        "cluster.local",
        description="The SPIFFE trust domain of the certificates that the controller signs. Another one is another authority: everything"
        " is signed anew.",
        json_schema_extra=of("NAME"),
        pattern=r"^[a-z0-9._-]+$",
        max_length=255,
    )
    ext_proc_filter: Pairs = Field(
        (),
        description="How Envoy treats ext-proc, as `NAME=VALUE;NAME=VALUE`, or as a mapping in the file: messageTimeout, failOpen,"
        " statusOnError, shadowMode, allowModeOverride, body, renewOnUnauthorized, attributes, accessibleNamespaces,"
        " writableNamespaces (docs/ext-proc.md).",
        json_schema_extra=of("NAME=VALUE;…", default="none"),
    )

    @property
    def issues(self) -> bool:
        """Whether the controller signs certificates."""
        return bool(self.ext_proc_address) and self.ext_proc_certificates == "controller"

    @property
    def ext_proc_identity(self) -> str:
        return self.ext_proc_id or f"spiffe://{self.trust_domain}/ns/{self.pod_namespace}/sa/groyne-ext-proc"

    @property
    def ext_proc_settings(self) -> ExternalSettings:
        return read_settings(dict(self.ext_proc_filter))[0]

    @property
    def election(self) -> ElectionSettings:
        """Raises ValueError where a write could outlive the Lease."""
        return ElectionSettings(
            duration=self.lease_duration,
            renew_deadline=self.lease_renew_deadline,
            retry=self.lease_retry,
            write_deadline=self.call_deadline,
        )

    @model_validator(mode="after")
    def fit_together(self) -> "Settings":
        self.in_order("lease_retry", "lease_renew_deadline", "one failed renewal must leave time for another")
        self.in_order("lease_renew_deadline", "lease_duration", "a holder must have stopped before another begins")
        self.in_order("call_deadline", "reconcile_timeout", "a turn consists of calls")
        if self.leader_election and not self.once:
            self.fenced()
        if (self.metrics_cert is None) != (self.metrics_key is None):
            raise together("metrics_cert", "metrics_key", "a certificate and its key go together: give both, or neither")
        if self.ext_proc_id and not self.ext_proc_address:
            raise together("ext_proc_address", "ext_proc_id", "an id is of somebody at an address: give both, or neither")
        if self.ext_proc_address and not self.ext_proc_id and not self.issues:
            raise together("ext_proc_certificates", "ext_proc_id", "who answers is known by the id in a certificate of yours: give it")
        if self.issues and not self.ext_proc_identity.startswith(f"spiffe://{self.trust_domain}/"):
            raise together("trust_domain", "ext_proc_id", "the controller signs for its own trust domain: give an id of that")
        return self

    def fenced(self) -> None:
        try:
            _ = self.election
        except ValueError as error:
            raise together("call_deadline", "lease_duration", str(error)) from None
