"""Kubernetes itself, from its own Go modules: `kube`, which is each of its components, and what a node of ours needs besides.

In come the sources beside this file, out go paths. A build takes minutes the first time and is cached by what the sources say; Go is
only needed for it. Where KUBEBUILDER_ASSETS names a directory (as envtest has it), etcd and kube-apiserver are taken from there.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import cache
from e2e.cluster.missing import Missing

HERE = Path(__file__).parent
_PROGRAMS = ("kube", "netpol", "pause")
_OLDEST_GO = (1, 25)
# The same flags always, and no C: another flag or compiler would build all of Kubernetes anew.
_VERSION = "k8s.io/component-base/version"
_FLAGS = ["-trimpath", "-ldflags", f"-s -w -X {_VERSION}.gitVersion=v1.35.4 -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=35"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Binaries:
    kube: Path
    netpol: Path
    pause: Path


def binaries() -> Binaries:
    """Built if need be. Raises Missing."""
    sources = [HERE / "go.mod", HERE / "go.sum", *sorted(path for path in HERE.glob("cmd/*/*.go") if not path.stem.endswith("_test"))]
    key = cache.digest(*_FLAGS, sys.platform, os.uname().machine, files=sources)
    found = cache.made("binaries", key, _build)
    return Binaries(**{name: found / name for name in _PROGRAMS})


def command(component: str) -> list[str]:
    """How `etcd`, `apiserver`, `controller-manager`, `scheduler`, `kubelet` or `proxy` is started. Raises Missing."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    name = component if component == "etcd" else f"kube-{component}"
    if assets and (Path(assets) / name).is_file():
        return [str(Path(assets) / name)]
    return [str(binaries().kube), component]


def go(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """A Go command on the sources, with the environment that the build has."""
    return subprocess.run(["go", *arguments], cwd=HERE, env=_environment(), capture_output=True, text=True, check=False)


def _environment() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}


def _build(directory: Path) -> None:
    _check_go()
    for program in _PROGRAMS:
        started = time.monotonic()
        _say(
            f"building {program} (Kubernetes 1.35 takes about eight minutes the first time)" if program == "kube" else f"building {program}"
        )
        build = subprocess.Popen(["go", "build", *_FLAGS, "-o", str(directory / program), f"./cmd/{program}"], cwd=HERE, env=_environment())
        while True:
            try:
                code = build.wait(30)
                break
            except subprocess.TimeoutExpired:
                _say(f"still building {program}, {time.monotonic() - started:.0f} s")
        if code:
            raise Missing(f"go build of {program} failed, see above", "a Go module proxy has to be reachable, or set KUBEBUILDER_ASSETS")
        _say(f"built {program} in {time.monotonic() - started:.0f} s")


def _check_go() -> None:
    remedy = "install Go 1.25 or newer (https://go.dev/dl)"
    if not shutil.which("go"):
        raise Missing("no Go to build Kubernetes with", f"{remedy}, or set KUBEBUILDER_ASSETS to a directory of Kubernetes' binaries")
    said = go("env", "GOVERSION").stdout  # asked beside go.mod, which may make an older one fetch its successor
    version = re.match(r"go(\d+)\.(\d+)", said)
    if not version or (int(version[1]), int(version[2])) < _OLDEST_GO:
        raise Missing(f"Go is too old to build Kubernetes 1.35 ({said.strip()})", remedy)


def _say(text: str) -> None:
    """To the terminal past pytest's capture, which would hide a wait of minutes."""
    sys.__stderr__.write(f"cluster: {text}\n") if sys.__stderr__ else None
