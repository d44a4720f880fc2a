"""An OCI image archive from directories and tar files: what `ctr images import` and `kind load image-archive` take. No Docker, no registry.

In come layers, lowest first, and how the image is to be started; out goes one file. The same input gives the same bytes.
"""

import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_TYPES = "application/vnd.oci.image"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How a container of the image begins, unless its pod says otherwise."""

    entrypoint: Sequence[str] = ()
    environment: Sequence[str] = ()
    user: str = ""
    directory: str = "/"

    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = {"Env": [_PATH, *self.environment], "WorkingDir": self.directory}
        if self.entrypoint:
            found["Entrypoint"] = list(self.entrypoint)
        return found | ({"User": self.user} if self.user else {})


def layer(directory: Path, out: Path, *, below: str = "") -> Path:
    """A directory's content as a layer, owned by root and without times, under `below` in the image."""
    with tarfile.open(out, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(os.listdir(directory)):
            tar.add(directory / name, arcname=str(Path(below) / name), filter=_anonymous)
    return out


def archive(name: str, layers: Sequence[Path], out: Path, start: Start) -> Path:
    """`name` in full, e.g. `docker.io/library/thing:e2e`."""
    digests = [_digest(path) for path in layers]
    config = _json(
        {
            "architecture": architecture(),
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": start.config(),
            "rootfs": {"type": "layers", "diff_ids": digests},
            "history": [{"created_by": "e2e"} for _ in layers],
        }
    )
    found = [_descriptor("layer.v1.tar", digest, path.stat().st_size) for digest, path in zip(digests, layers, strict=True)]
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_TYPES}.manifest.v1+json",
            "config": _descriptor("config.v1+json", _sha256(config), len(config)),
            "layers": found,
        }
    )
    with tarfile.open(out, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add(tar, "index.json", _index(name, manifest))
        for blob in (config, manifest):
            _add(tar, _place(_sha256(blob)), blob)
        for digest, path in dict(zip(digests, layers, strict=True)).items():
            tar.add(path, arcname=_place(digest), filter=_anonymous)
    return out


def architecture() -> str:
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def _index(name: str, manifest: bytes) -> bytes:
    found = _descriptor("manifest.v1+json", _sha256(manifest), len(manifest))
    names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rsplit(":", 1)[-1]}
    platforms = {"architecture": architecture(), "os": "linux"}
    return _json({"schemaVersion": 2, "manifests": [found | {"platform": platforms, "annotations": names}]})


def _descriptor(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": f"{_TYPES}.{kind}", "digest": digest, "size": size}


def _place(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/")


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def _anonymous(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    return info


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return f"sha256:{found.hexdigest()}"


def _sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
