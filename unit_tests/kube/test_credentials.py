"""What is read of credentials, when it counts as changed, and that no file is left behind."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kube.credentials import checked, complete, remove_copies


def auth(place: Path, *, user: Any = None, cluster: Any = None, **fields: Any) -> Any:
    """What kr8s knows after reading."""
    known = {"server": "https://api.test", "proxy": None, "tls_server_name": None, "token": None, "namespace": "default"}
    files = {"client_cert_file": None, "client_key_file": None, "server_ca_file": None}
    private = {
        "_user": user or {},
        "_cluster": cluster if cluster is not None else {"server": "x"},
        "_kubeconfig_path_or_dict": str(place / "config"),
    }
    kubeconfig = SimpleNamespace(get_path=lambda context: str(place / "config"))
    return SimpleNamespace(**{**known, **files, **private, "kubeconfig": kubeconfig, "active_context": "x", **fields})


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_it_is_stale_as_soon_as_any_file_that_was_read_says_something_else(tmp_path: Path) -> None:
    names = ["config", "cert", "key", "ca", "token"]
    for name in names:
        written(tmp_path / name, name)
    files = {"client_cert_file": tmp_path / "cert", "client_key_file": tmp_path / "key", "server_ca_file": tmp_path / "ca"}
    read = complete(auth(tmp_path, user={"tokenFile": "token"}, **files), "none")
    assert {path.name for path in read.files} == set(names)
    assert not read.stale
    for name in names:
        written(tmp_path / name, "other")
        assert read.stale, name
        written(tmp_path / name, name)
        assert not read.stale


def test_whom_the_server_meets_is_the_same_only_with_the_same_token_certificate_and_server(tmp_path: Path) -> None:
    def identity(**fields: Any) -> bytes:
        return complete(auth(tmp_path, **fields), "none").identity

    cert, other = written(tmp_path / "a", "one"), written(tmp_path / "b", "two")
    assert identity(token="t", client_cert_file=cert) == identity(token="t\n", client_cert_file=written(tmp_path / "c", "one"))
    assert (
        len(
            {
                identity(),
                identity(token="t"),
                identity(client_cert_file=cert),
                identity(client_cert_file=other),
                identity(server="https://b.test"),
            }
        )
        == 5
    )


def test_a_service_account_brings_its_namespace_and_its_token(tmp_path: Path) -> None:
    written(tmp_path / "token", " t1\n")
    written(tmp_path / "namespace", "team\n")
    found = auth(tmp_path, cluster={}, token="ignored")
    read = complete(found, str(tmp_path))
    assert (found.token, found.namespace) == ("t1", "team")
    assert [path.name for path in read.files] == ["token"]


def test_only_copies_are_removed(tmp_path: Path) -> None:
    copy, own = written(tmp_path / "copy", "key"), written(tmp_path / "own", "cert")
    found = auth(
        tmp_path, user={"client-key-data": "a2V5", "client-certificate": "own"}, client_key_file=str(copy), client_cert_file=str(own)
    )
    read = complete(found, "none")
    remove_copies(found)
    assert not copy.exists()
    assert own.exists()
    assert copy not in read.files
    assert not read.stale


@pytest.mark.parametrize("token", ["a\nb", "a b", "a\x7f", "é", "a\r"])
def test_a_token_that_no_header_can_hold_is_none(token: str) -> None:
    with pytest.raises(ValueError, match="characters"):
        checked(token)
