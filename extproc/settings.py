"""What an operator can decide about ext-proc, and nothing else: a value that nothing enforces has no place here.

A field's description says what it means and why its default is what it is; `--help` and the table in docs/ext-proc.md are made
from it.
"""

from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode

from daemon.endpoint import OptionalCollector
from daemon.settings import LABEL, NAME, Model, OptionalPath, Seconds, entries, of, together
from extproc.admission import IdentitySource

Sources = Annotated[tuple[IdentitySource, ...], NoDecode, BeforeValidator(entries)]
Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(entries)]


class Settings(Model):
    """ext-proc's."""

    manifests: OptionalPath = Field(
        None,
        description="A directory or file of manifests to decide by, read anew whenever it changes. Without one: the cluster's objects.",
        json_schema_extra=of("PATH"),
    )
    namespace: str = Field(
        "",
        description="The one namespace whose profiles and pods are looked at. Without one: all of them.",
        json_schema_extra=of("NAME"),
        pattern=f"^$|{NAME}",
        max_length=63,
    )
    opt_in_label: str = Field(
        "groyne.dev/secrets=managed",
        description="The label of namespaces whose Secrets and ConfigMaps may be read; the right to do so is a RoleBinding there.",
        json_schema_extra=of("KEY=VALUE"),
        pattern=LABEL,
    )
    listen: str = Field(
        "[::]:9002",
        description="Where Envoy reaches this process: HOST:PORT, or unix:PATH for an Envoy beside it.",
        json_schema_extra=of("ADDRESS"),
        pattern=r"^(unix:/.+|.+:[0-9]{1,5})$",
    )
    transport: Literal["h2corn", "grpcio"] = Field(
        "h2corn",
        description="Who speaks HTTP/2: h2corn carries twice as many requests on one processor; grpcio is the reference.",
    )
    workers: int = Field(
        1,
        description="Processes that share the port. Each has a snapshot of its own, and can use one processor. With more than one there are"
        " two processes besides: one that looks after them, and one that waits to take the place of who dies.",
        json_schema_extra=of("NUMBER"),
        ge=1,
        le=64,
    )
    identity: Sources = Field(
        (IdentitySource.CERTIFICATE, IdentitySource.ATTRIBUTES),
        description="Who says whose request it is, in order: certificate (a sidecar's SPIFFE id: who shows one is nobody else, whatever it"
        " says besides), attributes (a shared gateway's filter state), metadata (of the gRPC stream: only on a socket that nothing but one"
        " Envoy reaches), address (of the pod, in a gateway).",
        json_schema_extra=of("SOURCE,SOURCE…", default="certificate,attributes"),
        min_length=1,
    )
    unauthenticated: Literal["deny", "allow"] = Field(
        "deny",
        description="What becomes of a request that nobody can tell whose it is. `allow`: it is judged as a pod without labels, in no"
        " namespace; where its labels alone cannot be read, in its own namespace and with its token.",
    )
    allow_mode_override: bool = Field(
        False,
        description="Envoy's filter has allow_mode_override: ask for a body where a rule must read it and the filter sends none.",
    )
    tls_cert: OptionalPath = Field(None, description="This server's certificate for Envoy, PEM.", json_schema_extra=of("FILE"))
    tls_key: OptionalPath = Field(None, description="Its key.", json_schema_extra=of("FILE"))
    tls_ca: OptionalPath = Field(None, description="Who may sign the certificates of Envoys.", json_schema_extra=of("FILE"))
    tls_clients: Texts = Field(
        (),
        description="Which Envoys may speak here: SPIFFE ids, in which `*` stands for one segment of the path. Needed with TLS.",
        json_schema_extra=of("ID,ID…", default="none"),
    )
    trust_domain: str = Field(
        "",
        description="The SPIFFE trust domain of templates: an id of another one is no template's here. Without one: that of this server's"
        " own certificate when it starts, or cluster.local where that has none.",
        json_schema_extra=of("NAME"),
        pattern=r"^[a-z0-9._-]*$",
        max_length=255,
    )
    plaintext: bool = Field(
        False,
        description="Listen without TLS for other machines too: whoever reaches the port may then say to be anybody. Not needed on a"
        " socket, nor on this machine's loopback; for meshes that encrypt and tell peers apart by themselves.",
    )
    provider_url: str = Field(
        "",
        description="Where credentials of a credentialProvider are asked for. Without one, a rule that needs it fails by its failStrategy.",
        json_schema_extra=of("URL"),
        max_length=2048,
    )
    provider_cert: OptionalPath = Field(
        None,
        description="This client's certificate for the provider, PEM. It, its key and the provider's authority are given together, or none"
        " of them: then the system's roots are trusted and no certificate is shown.",
        json_schema_extra=of("FILE"),
    )
    provider_key: OptionalPath = Field(None, description="Its key.", json_schema_extra=of("FILE"))
    provider_ca: OptionalPath = Field(None, description="Who may sign the provider's certificate.", json_schema_extra=of("FILE"))
    provider_timeout: Seconds = Field(
        2.0, description="How long the provider may take, one attempt to connect again included.", json_schema_extra=of("SECONDS")
    )
    provider_plaintext: bool = Field(
        False, description="Let the provider's URL be http:// to another machine: for meshes that encrypt by themselves."
    )
    provider_cache_ttl: Seconds = Field(
        3600.0,
        description="How long an issued credential is used where the provider says nothing of its end.",
        json_schema_extra=of("SECONDS"),
    )
    provider_cache_size: int = Field(
        10_000,
        description="How many issued credentials are kept; of one caller a hundred.",
        json_schema_extra=of("NUMBER"),
        ge=1,
        le=10_000_000,
    )
    audit_log: bool = Field(True, description="Write a line for each request that a rule matched, or that was refused.")
    audit_queue: int = Field(
        8192,
        description="How many audit events may wait for their webhooks. What does not fit is dropped and counted.",
        json_schema_extra=of("NUMBER"),
        ge=1,
        le=1_000_000,
    )
    audit_loopback: bool = Field(
        False, description="Let webhooks be on this very machine: only where nothing that is sandboxed shares its loopback."
    )
    health_host: str = Field(
        "::", description="The address of the health port.", json_schema_extra=of("ADDRESS"), min_length=1, max_length=253
    )
    health_port: int = Field(8081, description="/healthz, /readyz and /metrics. 0: none.", json_schema_extra=of("NUMBER"), ge=0, le=65535)
    grpc_health: str = Field(
        "[::]:9003",
        description="Where gRPC health and reflection are served, without TLS. Empty: nowhere.",
        json_schema_extra=of("ADDRESS"),
        pattern=r"^(|unix:/.+|.+:[0-9]{1,5})$",
    )
    traces_endpoint: OptionalCollector = Field(
        "",
        description="An OpenTelemetry collector that is sent a span for each decision, by OTLP over gRPC: `http://HOST:4317`, or"
        " `https://…` with the system's roots. Without one nothing is traced.",
        json_schema_extra=of("URL"),
    )
    traces_ratio: float = Field(
        1.0,
        description="The share of traces that is told, chosen by the trace's id: what the sandbox says of sampling does not count.",
        json_schema_extra=of("RATIO"),
        ge=0,
        le=1,
        allow_inf_nan=False,
    )
    drain: Seconds = Field(
        10.0, description="At the end: how long open streams and waiting audit events have.", json_schema_extra=of("SECONDS")
    )

    @model_validator(mode="after")
    def fit_together(self) -> "Settings":
        files = (self.tls_cert, self.tls_key, self.tls_ca)
        if any(files) and not all(files):
            raise together("tls_cert", "tls_key", "a server for Envoys needs its certificate, its key and the authorities of its clients")
        if any(files) != bool(self.tls_clients):
            raise together("tls_cert", "tls_clients", "who may speak is said by ids of certificates: give both, or neither")
        if any(files) and self.plaintext:
            raise together("tls_cert", "plaintext", "one port speaks TLS or it does not: give one of them")
        if not any(files) and not self.plaintext and reaches_further(self.listen):
            raise together(
                "listen",
                "tls_cert",
                "without TLS whoever reaches the port is believed: give certificates, a loopback address, or --plaintext",
            )
        if IdentitySource.METADATA in self.identity and not self.listen.startswith("unix:"):
            raise together("identity", "listen", "metadata is whatever a client says: it counts only on a socket (unix:PATH)")
        if self.workers > 1 and (self.listen.startswith("unix:") or self.listen.endswith(":0")):
            raise together("workers", "listen", "what is shared is one port: give a HOST:PORT, or one worker")
        asking = (self.provider_cert, self.provider_key, self.provider_ca)
        if any(asking) and not all(asking):
            raise together("provider_cert", "provider_ca", "certificate, key and authority for the provider: give all three, or none")
        return self


def reaches_further(listen: str) -> bool:
    """Than this machine. A name is taken for a way out, for who knows what it resolves to."""
    host = listen.rpartition(":")[0].strip("[]")
    if listen.startswith("unix:") or host == "localhost":
        return False
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return True
