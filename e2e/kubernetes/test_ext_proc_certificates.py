"""From a profile in the API server to a header in a request: the controller signs, ext-proc judges, and a real Envoy asks it by mutual TLS.

Controller and ext-proc run under their own accounts and the rights of overlays/with-ext-proc, the admission policies in force. Envoy runs the
files of the template's Secret behind real redirect rules. What a kubelet does with two volumes is done by `Kubelet`, when it is told to.
"""

import asyncio
import base64
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from controller.compile.workload_certificates import make_workload
from controller.compile.workload_secrets import AUTHORITY, CLIENT, SERVER, template_id
from dataplane.certificate_parts import KeyPair
from dataplane.clusters import ROOTS_FILE
from dataplane.sidecar import ADMIN_SOCKET, DIRECTORY, STDOUT
from e2e.cluster import ControlPlane
from e2e.cluster.ports import free_port
from e2e.kubernetes.controller_process import ACCOUNT, NAMESPACE, ROOT, environment, install
from e2e.kubernetes.redirected import EXT_PROC, SOCKET, bridge
from e2e.kubernetes.team import Team, data
from e2e.mutual_tls.rig import Volume
from e2e.support.child import started
from e2e.support.waiting import until
from groyne import clock
from mtls.identity import Purpose
from unit_tests.controller.raw_objects import profile, rule, template

TEAM, HOST = "certified", "keyed.test"
TOKEN = {"credentialRef": {"secret": {"name": "key"}}, "apiKey": {"valueTemplate": "Bearer {{ .Token }}"}}
UNSHARE = ("unshare", "--user", "--map-root-user", "--net", "--mount", "--kill-child")
LONG = 90.0
OUTAGE = float(os.environ.get("E2E_OUTAGE_SECONDS", "15"))
"""Of the API server; minutes in nightly runs."""
ENDED, ANNOUNCED, BEFORE_THE_CHANGE = 345, 39, 10
"""Days ago: an authority was made that ends in twenty days; its successor was; and a third before the successor signs."""


def no_namespace() -> str | None:
    """Why the test cannot run here, if so."""
    if not all(shutil.which(name) for name in ("unshare", "nft", "ip", "mount")):
        return "needs unshare, mount, ip and nft (util-linux, iproute2, nftables)"
    found = subprocess.run([*UNSHARE, "nft", "list", "ruleset"], capture_output=True, text=True, check=False)
    return f"no network namespace with redirect rules here: {found.stderr.strip()[:200]}" if found.returncode else None


WHY_NOT = no_namespace()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.envoy,
    pytest.mark.timeout(400 + OUTAGE),
    pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT)),
]


@dataclass(slots=True, kw_only=True)
class Kubelet:
    """Two Secrets as volumes."""

    team: Team
    work: Path
    server: Volume
    sidecar: Volume

    def look(self) -> None:
        self.look_at_server()
        self.look_at_sidecar()

    def look_at_server(self) -> None:
        self.server.put(self.own(SERVER))

    def look_at_sidecar(self, **instead: str) -> None:
        held = self.egress()
        paths = {DIRECTORY: str(self.sidecar.path), ADMIN_SOCKET: str(self.work / "admin.sock"), STDOUT: str(self.work / "access.log")}
        files = {name: replaced(text, paths) for name, text in held.items() if name != "profiles.json"}
        # As the volume has it: the bundle a second time.
        self.sidecar.put({**files, ROOTS_FILE: held["ca-bundle.crt"], **instead})

    def egress(self) -> dict[str, str]:
        return data(self.team.wait("secret", "python-egress", lambda found: f"{CLIENT}.crt" in found["data"]))

    def own(self, name: str) -> dict[str, str]:
        text = self.team.cluster.kubectl("get", "secret", name, "-n", NAMESPACE, "-o", "json")
        return data(json.loads(text))


def replaced(text: str, paths: dict[str, str]) -> str:
    for old, new in paths.items():
        text = text.replace(old, new)
    return text


@dataclass(slots=True, kw_only=True)
class Sidecar:
    process: "subprocess.Popen[str]"
    log: Path
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def order(self, **order: str) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        with self._lock:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        assert line, self.log.read_text()[-4000:]
        return json.loads(line)

    def ask(self, host: str = HOST) -> dict[str, Any]:
        found: dict[str, Any] = self.order(do="ask", host=host)
        return found


def controller(plane: ControlPlane, days: int, *flags: str) -> list[str]:
    kubeconfig = str(plane.kubeconfig_for(ACCOUNT, NAMESPACE))
    told = ("--kubeconfig", kubeconfig, "--health-port=0", f"--ext-proc-address=127.0.0.1:{EXT_PROC}", *flags)
    return [sys.executable, "-m", "e2e.kubernetes.earlier", str(days), *told]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certified")


@pytest.fixture(scope="module")
def team(breakable: ControlPlane, work: Path) -> Team:
    """Ten days ago: an authority near its end, its successor in every bundle; a profile that needs ext-proc, and one that does not."""
    install(breakable, "with-ext-proc")
    breakable.kubectl("create", "namespace", TEAM)
    team = Team(breakable, TEAM)
    team.opt_in()
    account = f"--serviceaccount={NAMESPACE}:groyne-ext-proc"
    breakable.kubectl("create", "rolebinding", "ext-proc", "--clusterrole=groyne-ext-proc-namespace", account, "-n", TEAM)
    hook = {"name": "log", "when": "false", "webhook": {"url": "https://audit.example/"}}
    keyed = rule("keyed", HOST, audit=[hook], tokenTransformation=TOKEN)
    team.apply(team.secret("key", apiKey="first-value"), template("python"), template("plain", labels={"app": "other"}))
    team.apply(profile("keys", rules=[keyed]), profile("other", labels={"app": "other"}))
    for days in (ENDED, ANNOUNCED, BEFORE_THE_CHANGE):
        done = subprocess.run(
            controller(breakable, days, "--once"), cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-4000:]
    return team


@pytest.fixture(scope="module")
def kubelet(team: Team, work: Path) -> Kubelet:
    found = Kubelet(team=team, work=work, server=Volume(work / "server"), sidecar=Volume(work / "sidecar"))
    found.look()
    return found


@pytest.fixture(scope="module")
def ext_proc(breakable: ControlPlane, kubelet: Kubelet, work: Path) -> Iterator[int]:
    """Its port."""
    port, health, directory = free_port(), free_port(), kubelet.server.path
    flags = {
        "kubeconfig": breakable.kubeconfig_for("groyne-ext-proc", NAMESPACE),
        "listen": f"127.0.0.1:{port}",
        "identity": "certificate",
        "health-host": "127.0.0.1",
        "health-port": health,
        "grpc-health": "",
        "tls-clients": "spiffe://cluster.local/ns/*/template/*",
        **{f"tls-{flag}": directory / name for flag, name in (("cert", "tls.crt"), ("key", "tls.key"), ("ca", "ca.crt"))},
    }
    log = work / "ext-proc.log"
    with started(log, sys.executable, "-m", "extproc", *(f"--{name}={value}" for name, value in flags.items())):

        def ready() -> bool:
            try:
                return httpx.get(f"http://127.0.0.1:{health}/readyz", timeout=5, trust_env=False).status_code == 200
            except httpx.HTTPError:
                return False

        until(ready, lambda: log.read_text()[-4000:], LONG)
        yield port


@pytest.fixture(scope="module")
def sidecar(kubelet: Kubelet, ext_proc: int, work: Path) -> Iterator[Sidecar]:
    def way_in() -> None:
        async def serve() -> None:
            opened = lambda: asyncio.open_connection("127.0.0.1", ext_proc)  # noqa: E731
            server = await asyncio.start_unix_server(lambda *ends: bridge(opened, *ends), str(work / SOCKET))
            await server.serve_forever()

        asyncio.run(serve())

    threading.Thread(target=way_in, daemon=True).start()
    command = (*UNSHARE, sys.executable, "-m", "e2e.kubernetes.redirected", str(kubelet.sidecar.path), str(work))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with started(work / "sidecar.log", *command, **pipes) as process:
        found = Sidecar(process=process, log=work / "sidecar.log")
        until(lambda: found.ask().get("status") == 200, lambda: f"{found.ask()}\n{(work / 'sidecar.log').read_text()[-4000:]}", LONG)
        yield found


def test_a_request_that_a_rule_of_ext_procs_meets_gets_its_header(sidecar: Sidecar):
    """And one of another host goes by without."""
    assert sidecar.ask()["body"]["authorization"] == "Bearer first-value"
    assert "authorization" not in sidecar.ask("other.test")["body"]


def test_only_the_template_that_has_to_ask_has_a_certificate(kubelet: Kubelet, team: Team):
    held = kubelet.egress()
    assert held["external-ca.crt"] == kubelet.own(SERVER)["ca.crt"]
    assert held["external-ca.crt"].count("BEGIN") == 2
    assert not [name for name in data(team.wait("secret", "plain-egress")) if "external" in name]
    assert kubelet.own(AUTHORITY)["ca.key"] not in json.dumps(held)


@pytest.mark.parametrize("wrong", [f"spiffe://cluster.local/ns/{TEAM}/sa/default", template_id("cluster.local", TEAM, "nobodys")])
def test_who_is_no_template_or_an_unknown_one_is_refused(sidecar: Sidecar, kubelet: Kubelet, wrong: str):
    """With a certificate of the very authority; nothing goes on undecided."""
    held = kubelet.own(AUTHORITY)
    pair = make_workload(KeyPair(cert_pem=held["ca.crt"], key_pem=held["ca.key"]), wrong, Purpose.CLIENT, now=clock.now())
    kubelet.look_at_sidecar(**{f"{CLIENT}.crt": pair.cert_pem, f"{CLIENT}.key": pair.key_pem})
    try:
        until(lambda: sidecar.ask().get("status") in (403, 503), lambda: f"refused: {sidecar.ask()}", LONG)
        assert {sidecar.ask().get("status") for _ in range(10)} <= {403, 503}
    finally:
        kubelet.look_at_sidecar()
        until(lambda: sidecar.ask().get("status") == 200, lambda: f"accepted: {sidecar.ask()}", LONG)


def test_no_request_fails_while_the_authority_changes_and_everything_is_signed_anew(
    breakable: ControlPlane, team: Team, sidecar: Sidecar, kubelet: Kubelet, work: Path
):
    """Ten days pass at once: the successor signs. Somebody has taken the pairs out of both Secrets, and new ones are there."""
    before = kubelet.own(AUTHORITY)
    sidecar.order(do="load", host=HOST)
    emptied(team, SERVER, NAMESPACE, "tls.crt", "tls.key")
    with started(work / "controller.log", *controller(breakable, 0)):
        until(lambda: kubelet.own(AUTHORITY)["ca.crt"] == before["ca-next.crt"], "the successor signs", LONG)
        until(lambda: "tls.crt" in kubelet.own(SERVER), "ext-proc's certificate is there again", LONG)
        kubelet.look_at_server()
        counted(sidecar, 100)
        emptied(team, "python-egress", TEAM, f"{CLIENT}.crt", f"{CLIENT}.key")
        renewed = kubelet.egress()
        kubelet.look_at_sidecar()
        counted(sidecar, 300)
    found = sidecar.order(do="loaded")
    after = kubelet.own(AUTHORITY)
    assert set(found) == {"200"}, found
    assert "ca-next.key" not in after
    assert before["ca.key"] not in after.values()
    assert renewed["external-ca.crt"].count("BEGIN") == 2


def emptied(team: Team, name: str, namespace: str, *keys: str) -> None:
    operations = json.dumps([{"op": "remove", "path": f"/data/{key}"} for key in keys])
    team.cluster.kubectl("patch", "secret", name, "-n", namespace, "--type=json", "-p", operations)


def counted(sidecar: Sidecar, requests: int) -> None:
    """So many more, beside the load."""
    for _ in range(requests):
        assert sidecar.ask()["status"] == 200


def test_the_controller_writes_none_of_the_two_elsewhere(breakable: ControlPlane, team: Team):
    """The admission policy knows its names in its own namespace alone, where it writes no other."""
    user = f"--as=system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
    for name, namespace in ((SERVER, TEAM), ("groyne-ext-proc-other", NAMESPACE)):
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": "groyne"}}}
        text = json.dumps({**body, "data": {"x": base64.b64encode(b"x").decode()}})
        said = breakable.kubectl("create", "-f", "-", "-n", namespace, user, input=text, check=False)
        assert "groyne-controller writes" in said


def test_decisions_go_on_while_the_api_server_is_away_and_then_edits_are_obeyed(breakable: ControlPlane, team: Team, sidecar: Sidecar):
    """What was last known holds: the credential arrives with every request, for as long as it takes."""
    known = sidecar.ask()["body"]["authorization"]
    sidecar.order(do="load", host=HOST)
    breakable.stop("apiserver", grace=0)
    away = time.monotonic() + OUTAGE
    answers = set()
    while time.monotonic() < away:
        found = sidecar.ask()
        answers.add((found["status"], found["body"]["authorization"]))
    loaded = sidecar.order(do="loaded")
    breakable.start("apiserver")
    team.apply(team.secret("key", apiKey="after-the-outage"))
    after: list[dict[str, Any]] = []

    def obeyed() -> bool:
        after.append(sidecar.ask())
        return after[-1]["status"] == 200 and after[-1]["body"]["authorization"] == "Bearer after-the-outage"

    until(obeyed, lambda: f"the edit is obeyed: {after[-1]}", LONG)
    assert answers == {(200, known)}
    assert set(loaded) == {"200"}
