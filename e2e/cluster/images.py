"""The images that pods of the tests run: Debian's Python with a few tools of busybox, and Groyne's controller on the same base.

Nothing is pulled: the base is Debian packages, unpacked; the rest are wheels. Each layer is cached by what it is made from, so that an
edit to Groyne costs a second. The controller's image is what the Dockerfile says, on another base.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from e2e.cluster import cache, oci
from e2e.cluster.binaries import binaries
from e2e.cluster.missing import Missing
from e2e.cluster.oci import Start
from e2e.cluster.workplace import workplace

PROJECT = Path(__file__).parents[2]
CONTROLLER = "docker.io/library/groyne-controller:e2e"
TOOLS = "localhost/tools:e2e"
_DEBIAN, _PYTHON = "bookworm", "3.11"
_PACKAGES = "libc6,libstdc++6,python3-minimal,libpython3-stdlib,netbase,ca-certificates"
_SITE = "app"
_APPLETS = ("sh", "ls", "cat", "sleep", "echo", "env", "ip", "nc", "timeout", "ps", "hostname", "mkdir", "id", "wget", "true", "touch")
_PEOPLE = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\nnonroot:x:65532:65532::/:/bin/sh\n"


def tools(out: Path) -> Path:
    """An archive whose containers have `python3` and a shell, and sleep."""
    return oci.archive(TOOLS, [_base()], out, Start(entrypoint=["sleep", "100000"]))


def controller(out: Path) -> Path:
    """An archive that runs `python3 -m controller` as a user who is not root."""
    with workplace("image") as work:
        ours = oci.layer(_installed(work / "ours", "--no-deps", str(PROJECT)), work / "ours.tar", below=_SITE)
        environment = [f"PYTHONPATH=/{_SITE}", "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"]
        start = Start(
            entrypoint=["/usr/bin/python3", "-m", "controller"], environment=environment, user="65532:65532", directory=f"/{_SITE}"
        )
        return oci.archive(CONTROLLER, [_base(), _requirements(), ours], out, start)


def pause(out: Path, name: str) -> Path:
    with workplace("image") as work:
        root = work / "root"
        root.mkdir()
        shutil.copy2(binaries().pause, root / "pause")
        return oci.archive(name, [oci.layer(root, work / "layer.tar")], out, Start(entrypoint=["/pause"]))


def _base() -> Path:
    return cache.made("python", cache.digest(_DEBIAN, _PACKAGES, *_APPLETS, _PEOPLE), _make_base) / "layer.tar"


def _make_base(directory: Path) -> None:
    lacking = [name for name in ("mmdebstrap", "busybox") if not shutil.which(name)]
    if lacking:
        raise Missing(f"no {' and no '.join(lacking)} to make images with", "apt-get install mmdebstrap busybox-static")
    left_out = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")]
    packed = directory / "layer.tar"
    unpack = ["mmdebstrap", "--quiet", "--variant=extract", f"--include={_PACKAGES}", *left_out, _DEBIAN, str(packed)]
    subprocess.run(unpack, check=True)  # `extract` runs no package's scripts, hence what follows
    with workplace("image") as work:
        _finish(work)
        subprocess.run(["tar", "--owner=0", "--group=0", "-C", str(work), "-rf", str(packed), "."], check=True)


def _finish(root: Path) -> None:
    """What the packages' scripts would have made, and the tools."""
    for name in ("bin", "tmp", "etc/ssl/certs"):
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    root.chmod(0o755)
    (root / "etc" / "passwd").write_text(_PEOPLE)
    shutil.copy2(str(shutil.which("busybox")), root / "bin" / "busybox")
    for name in _APPLETS:
        (root / "bin" / name).symlink_to("busybox")


def _requirements() -> Path:
    wanted = _wanted()

    def make(directory: Path) -> None:
        oci.layer(_installed(directory / "site", *wanted), directory / "layer.tar", below=_SITE)
        shutil.rmtree(directory / "site")

    return cache.made("requirements", cache.digest(_PYTHON, oci.architecture(), *wanted), make) / "layer.tar"


def _wanted() -> list[str]:
    """What the Dockerfile installs: all that the project depends on, without those that it names."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    left = re.search(r"left = \{(.*?)\}", (PROJECT / "Dockerfile").read_text())
    assert left, "the Dockerfile says no more what it leaves out"
    names = tuple(name.strip(" '\"") for name in left[1].split(","))
    return [each for each in project["dependencies"] if not each.startswith(names)]


def _installed(directory: Path, *what: str) -> Path:
    """By uv, for the Python of the image, and compiled where ours is the same."""
    same = f"{sys.version_info.major}.{sys.version_info.minor}" == _PYTHON
    beside = Path(sys.executable).parent / "uv"
    uv = str(beside) if beside.is_file() else shutil.which("uv")
    if not uv:
        raise Missing("no uv to install into images with", "pip install uv (make setup does)")
    command = [uv, "pip", "install", "--quiet", "--target", str(directory), "--python-version", _PYTHON, "--python-platform", "linux"]
    command += ["--compile-bytecode"] if same else []
    subprocess.run([*command, "--python", sys.executable, *what], check=True, cwd="/", env={**os.environ, "UV_LINK_MODE": "copy"})
    return directory
