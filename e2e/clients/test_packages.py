"""Package managers: pip and uv from a simple index, npm from a registry (a scoped package too), cargo from a sparse index."""

import base64
import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from e2e.clients import tools
from e2e.clients.harness import Place
from e2e.clients.rows import Row
from e2e.support.upstream import Answer, Answering, Received

Serving = Callable[[Answering], Place]
WHEEL = "moorings-1.0-py3-none-any.whl"
MANIFEST = """\
[package]
name = "work"
version = "0.1.0"
edition = "2021"
[dependencies]
moorings = { version = "1", registry = "harbour" }
"""


def test_pip(serving: Serving, tmp_path: Path) -> None:
    place = serving(simple_index)
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-cache-dir",
        "--target",
        tmp_path / "to",
    ]
    done = place.run([*command, "--index-url", f"{place.url}/simple/", "moorings"])
    installed(place, done, tmp_path / "to" / "moorings.py")
    version = tools.version(sys.executable, "-m", "pip", "--version")
    Row(client="pip", version=version, finds="`HTTPS_PROXY`, `PIP_CERT`", shown="install").report()


def test_uv(serving: Serving, tmp_path: Path) -> None:
    uv, place = tools.tool("uv"), serving(simple_index)
    command = [uv, "pip", "install", "--quiet", "--no-config", "--cache-dir", tmp_path / "cache", "--python", sys.executable]
    done = place.run([*command, "--target", tmp_path / "to", "--index-url", f"{place.url}/simple/", "moorings"])
    installed(place, done, tmp_path / "to" / "moorings.py")
    Row(client="uv", version=tools.version(uv, "--version"), finds="`HTTPS_PROXY`, `SSL_CERT_FILE`", shown="pip install").report()


def test_npm(serving: Serving, tmp_path: Path) -> None:
    """Two packages; npm asks for the scoped one as /@harbour%2fropes."""
    npm = tools.tool("npm")
    place = serving(npm_registry)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "package.json").write_text('{"name": "work", "version": "1.0.0"}')
    command = [
        npm,
        "install",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
        "--cache",
        tmp_path / "cache",
        "--registry",
        f"{place.url}/",
    ]
    done = place.run([*command, "moorings", "@harbour/ropes"], npm_config_userconfig=os.devnull)
    installed(place, done, tmp_path / "work" / "node_modules" / "moorings" / "index.js")
    assert (tmp_path / "work" / "node_modules" / "@harbour" / "ropes" / "index.js").exists(), str(done)
    assert any(received.target.lower() == "/@harbour%2fropes" for received in place.credentialed)
    Row(client="npm", version=tools.version(npm, "--version"), finds="`npm_config_https_proxy`, `npm_config_cafile`",
        shown="install, a scoped package too (`groyne.dev/allow-escaped-slashes`)").report()  # fmt: skip


def test_cargo(serving: Serving, tmp_path: Path) -> None:
    """A registry that wants a token; cargo is given a word that is none."""
    cargo, place = tools.tool("cargo"), serving(cargo_registry)
    project = tmp_path / "work"
    (project / "src").mkdir(parents=True)
    (project / "src" / "lib.rs").write_text("")
    (project / "Cargo.toml").write_text(MANIFEST)
    home = tmp_path / "cargo"
    done = place.run(
        [cargo, "fetch", "--quiet"], CARGO_HOME=str(home), CARGO_REGISTRIES_HARBOUR_INDEX=f"sparse+{place.url}/index/", **rustup_home()
    )
    assert done.code == 0, str(done)
    assert place.credentialed == tuple(place.upstream.received)
    assert list(home.glob("registry/cache/*/moorings-1.0.0.crate")), str(done)
    Row(client="cargo", version=tools.version(cargo, "--version"), finds="`CARGO_HTTP_PROXY`, `CARGO_HTTP_CAINFO`",
        shown="fetch from a sparse registry").report()  # fmt: skip


def rustup_home() -> dict[str, str]:
    home = Path(os.environ.get("RUSTUP_HOME", Path.home() / ".rustup"))
    return {"RUSTUP_HOME": str(home)} if home.exists() else {}


def installed(place: Place, done: object, file: Path) -> None:
    assert file.exists(), str(done)
    assert len(place.credentialed) >= 2
    assert place.credentialed == tuple(place.upstream.received)


def simple_index(received: Received) -> Answer:
    wheel = make_wheel()
    if received.target == "/simple/moorings/":
        digest = hashlib.sha256(wheel).hexdigest()
        page = f'<!DOCTYPE html><html><body><a href="/files/{WHEEL}#sha256={digest}">{WHEEL}</a></body></html>'
        return Answer(body=page.encode(), headers=(("content-type", "text/html"),))
    if received.target == f"/files/{WHEEL}":
        return Answer(body=wheel, headers=(("content-type", "application/octet-stream"),))
    return Answer(status=404, body=b"")


def make_wheel() -> bytes:
    info = "moorings-1.0.dist-info"
    files = {
        "moorings.py": "slowly = True\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: moorings\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD"))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return buffer.getvalue()


def npm_registry(received: Received) -> Answer:
    name = received.target.lstrip("/").replace("%2f", "/").replace("%2F", "/")
    if name not in {"moorings", "@harbour/ropes"}:
        package = name.partition("/-/")[0]
        return Answer(body=npm_tarball(package)) if "/-/" in name else Answer(status=404, body=b"{}")
    tarball = npm_tarball(name)
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(tarball).digest()).decode()
    host = received.header("host")
    where = f"https://{host}/{name}/-/{name.rpartition('/')[2]}-1.0.0.tgz"
    one = {"name": name, "version": "1.0.0", "dist": {"tarball": where, "integrity": integrity}}
    document = {"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": one}}
    return Answer(body=json.dumps(document).encode(), headers=(("content-type", "application/json"),))


def npm_tarball(name: str) -> bytes:
    return packed({"package/package.json": json.dumps({"name": name, "version": "1.0.0"}), "package/index.js": ""})


def cargo_registry(received: Received) -> Answer:
    crate = packed({"moorings-1.0.0/Cargo.toml": '[package]\nname = "moorings"\nversion = "1.0.0"\n', "moorings-1.0.0/src/lib.rs": ""})
    entry = {"name": "moorings", "vers": "1.0.0", "deps": [], "cksum": hashlib.sha256(crate).hexdigest(), "features": {}, "yanked": False}
    pages = {
        "/index/config.json": json.dumps({"dl": f"https://{received.header('host')}/crates"}).encode(),
        "/index/mo/or/moorings": json.dumps(entry).encode() + b"\n",
        "/crates/moorings/1.0.0/download": crate,
    }
    return Answer(body=pages[received.target]) if received.target in pages else Answer(status=404, body=b"")


def packed(files: dict[str, str]) -> bytes:
    """The same bytes each time: registries name them by their hash."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as compressed, tarfile.open(fileobj=compressed, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()
