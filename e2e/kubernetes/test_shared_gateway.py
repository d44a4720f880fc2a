"""Pods that share a gateway: its Envoy asks ext-proc, which knows each pod by the address that Envoy has from the connection.

ext-proc runs under its own account and the rights of components/ext-proc-gateway, and is shown the gateway's certificate. Pods are objects
whose addresses a test writes as a kubelet would; what they send comes from those addresses, which are this machine's loopback.
"""

import base64
import http.client
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.compile.workload_authorities import authorities
from controller.compile.workload_certificates import make_workload
from controller.compile.workload_secrets import ext_proc_id
from e2e.bench.world import LOOPBACK, free_port
from e2e.cluster import ControlPlane
from e2e.kubernetes.controller_process import NAMESPACE, ROOT, established
from e2e.kubernetes.team import Team
from e2e.mutual_tls.gateway import Asked, bootstrap
from e2e.mutual_tls.rig import DOMAIN, Volume, files
from e2e.support.child import started
from e2e.support.provider import ISSUED, Provider, providing
from e2e.support.upstream import Upstream, serve
from e2e.support.waiting import until
from groyne import clock
from mtls.identity import Purpose
from unit_tests.controller.raw_objects import profile, rule
from unit_tests.dataplane.envoy_process import running_envoy

pytestmark = [pytest.mark.cluster, pytest.mark.envoy, pytest.mark.timeout(300)]
TEAM, ACCOUNT = "gated", "groyne-ext-proc"
GATEWAY = f"spiffe://{DOMAIN}/ns/{NAMESPACE}/sa/egress-gateway"
CLOSED, OPEN, KEYED, NOBODY = "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.9"
TOKEN = {"accessToken": "the-sandbox-is-who-it-is", "sandboxClientId": "client-7"}
KEY = {"credentialRef": {"credentialProvider": {"name": "vault"}}, "apiKey": {"valueTemplate": "Bearer {{ .Token }}"}}
RULES = {
    "closed": [rule("closed", "api.test", block={"statusCode": 418})],
    "open": [rule("judged", "api.test", headerManipulation={"set": [{"name": "x-judged", "value": "yes"}]})],
    "keyed": [rule("keyed", "api.test", tokenTransformation=KEY)],
}


def said_by_the_gateway() -> dict[str, Any]:
    """A filter of its own, which knows the sandbox's token, and of whose request it is only a text, where Istio's Envoy has fields."""
    said = {"sandbox.token": base64.b64encode(json.dumps(TOKEN).encode()).decode(), "downstream_peer": "%REQ(x-peer)%"}
    values = [
        {"object_key": key, "factory_key": "envoy.string", "format_string": {"text_format_source": {"inline_string": text}}}
        for key, text in said.items()
    ]
    kind = "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config"
    return {"name": "said", "typed_config": {"@type": kind, "on_request_headers": values}}


@dataclass(slots=True, kw_only=True)
class Place:
    team: Team
    upstream: Upstream
    provider: Provider
    port: int
    health: int

    def has(self, name: str, address: str, app: str) -> None:
        """A pod as its kubelet says that it is."""
        spec = {"containers": [{"name": "agent", "image": "none"}]}
        self.team.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": app}}, "spec": spec})
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
        self.team.cluster.kubectl(
            "patch", "pod", name, "-n", TEAM, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status})
        )

    def label(self, name: str, app: str) -> None:
        self.team.cluster.kubectl("label", "pod", name, "-n", TEAM, f"app={app}", "--overwrite")

    def without(self, *names: str) -> None:
        self.team.cluster.kubectl("delete", "pod", *names, "-n", TEAM, "--grace-period=0", "--force")

    def ask(self, source: str, **headers: str) -> int:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=15, source_address=(source, 0))
        connection.request("GET", "/v1/x", headers={"host": "api.test", **headers})
        status = connection.getresponse().status
        connection.close()
        return status

    def becomes(self, source: str, status: int) -> None:
        until(lambda: self.ask(source) == status, lambda: f"{source} is answered {status}: {self.ask(source)}")

    def refused(self, reason: str) -> float:
        lines = httpx.get(f"http://{LOOPBACK}:{self.health}/metrics", trust_env=False).text.splitlines()
        wanted = "unauthenticated_requests_total{", 'outcome="deny"', f'reason="{reason}"'
        return sum(float(line.rpartition(" ")[2]) for line in lines if all(part in line for part in wanted))


@pytest.fixture(scope="module")
def place(breakable: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    work = tmp_path_factory.mktemp("gateway")
    team = installed(breakable, work)
    trusted = authorities({}, DOMAIN, now=clock.now())
    shown = {"server": (ext_proc_id(DOMAIN, NAMESPACE), Purpose.SERVER), "client": (GATEWAY, Purpose.CLIENT)}
    for name, (identity, purpose) in shown.items():
        Volume(work / name).put(files(make_workload(trusted.signing, identity, purpose, now=clock.now()), trusted))
    listen, health, port = free_port(), free_port(), free_port()
    with providing() as provider, serve() as upstream:
        command = ext_proc(breakable, work / "server", listen=listen, health=health, provider=provider.url)
        config = bootstrap(
            work, Asked(ext_proc=listen, certificates=work / "client"), upstream=upstream.port, port=port, before=[said_by_the_gateway()]
        )
        with started(work / "ext-proc.log", *command), running_envoy(config, log_level="error"):
            found = Place(team=team, upstream=upstream, provider=provider, port=port, health=health)
            for name, address in (("closed", CLOSED), ("open", OPEN), ("keyed", KEYED)):
                found.has(name, address, name)
            until(lambda: found.ask(OPEN) == 200, lambda: (work / "ext-proc.log").read_text()[-4000:], 60)
            found.becomes(CLOSED, 418)
            yield found


def installed(plane: ControlPlane, work: Path) -> Team:
    overlay = work / "overlay"
    overlay.mkdir()
    named = {key: [os.path.relpath(ROOT / "kustomize" / path, overlay.resolve())] for key, path in INSTALLED.items()}
    (overlay / "kustomization.yaml").write_text(json.dumps({"namespace": NAMESPACE, **named}))
    plane.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(overlay))
    established(plane)
    plane.kubectl("create", "namespace", TEAM)
    team = Team(plane, TEAM)
    team.apply(*(profile(name, labels={"app": name}, rules=rules) for name, rules in RULES.items()))
    return team


INSTALLED = {"resources": "overlays/with-ext-proc", "components": "components/ext-proc-gateway"}


def ext_proc(plane: ControlPlane, certificates: Path, *, listen: int, health: int, provider: str) -> list[str]:
    """With the component's settings of identity."""
    text = plane.kubectl("get", "configmaps", "-n", NAMESPACE, "-o", "json")
    settings = next(each["data"] for each in json.loads(text)["items"] if "GROYNE_TLS_CLIENTS" in each.get("data", {}))
    assert GATEWAY in settings["GROYNE_TLS_CLIENTS"]
    flags = {
        "kubeconfig": plane.kubeconfig_for(ACCOUNT, NAMESPACE),
        "listen": f"{LOOPBACK}:{listen}",
        "identity": settings["GROYNE_IDENTITY"],
        "tls-clients": settings["GROYNE_TLS_CLIENTS"],
        "health-host": LOOPBACK,
        "health-port": health,
        "grpc-health": "",
        "provider-url": provider,
        **{f"tls-{flag}": certificates / name for flag, name in (("cert", "tls.crt"), ("key", "tls.key"), ("ca", "ca.crt"))},
    }
    return [sys.executable, "-m", "extproc", *(f"--{name}={value}" for name, value in flags.items())]


def test_each_pod_is_judged_by_its_own_profiles(place: Place):
    place.upstream.received.clear()
    assert (place.ask(CLOSED), place.ask(OPEN)) == (418, 200)
    assert [each.header("x-judged") for each in place.upstream.received] == ["yes"]


def test_an_address_that_is_no_pod_s_is_refused_and_counted(place: Place):
    before = place.refused("unknown_address")
    place.upstream.received.clear()
    assert place.ask(NOBODY) == 403
    assert place.refused("unknown_address") == before + 1
    assert not place.upstream.received


@pytest.mark.parametrize("header", ["x-forwarded-for", "x-envoy-external-address", "x-real-ip", "forwarded", "x-peer"])
def test_no_pod_is_another_by_saying_so(place: Place, header: str):
    said = f"for={OPEN}" if header == "forwarded" else OPEN
    assert place.ask(CLOSED, **{header: said}) == 418
    assert place.ask(NOBODY, **{header: said}) == 403


def test_the_token_that_the_gateway_knows_is_shown_to_the_provider(place: Place):
    place.upstream.received.clear()
    assert place.ask(KEYED) == 200
    assert [each.header("authorization") for each in place.upstream.received] == [f"Bearer {ISSUED}"]
    shown, body = place.provider.asked[-1]
    assert shown == f"Bearer {TOKEN['accessToken']}"
    assert body["resourceId"] == TOKEN["sandboxClientId"]


def test_a_pod_s_labels_are_what_they_are_now(place: Place):
    place.has("changing", "127.0.0.5", "open")
    place.becomes("127.0.0.5", 200)
    place.label("changing", "closed")
    place.becomes("127.0.0.5", 418)
    place.without("changing")
    place.becomes("127.0.0.5", 403)


def test_an_address_that_two_pods_claim_is_nobody_s(place: Place):
    """Neither may be taken for the other; when one of them is gone it is the other's."""
    place.has("first", "127.0.0.6", "open")
    place.becomes("127.0.0.6", 200)
    place.has("second", "127.0.0.6", "closed")
    place.becomes("127.0.0.6", 403)
    place.without("first")
    place.becomes("127.0.0.6", 418)
