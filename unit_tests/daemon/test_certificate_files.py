"""A pair is read at the start and whenever it changes; a broken one changes nothing."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from daemon.certificate_files import CertificateFiles
from daemon.settings import MistakeError
from dataplane.certificate_parts import KeyPair
from dataplane.certificates import make_ca, make_leaf

# Verifiers compare with the machine's clock: what they see is made around it.
NOW = datetime.now(UTC)  # noqa: TID251
CA = make_ca(now=NOW, name="test")


def pair() -> KeyPair:
    return make_leaf(CA, ("controller.test",), now=NOW)


def write(directory: Path, made: KeyPair) -> None:
    (directory / "tls.crt").write_text(made.cert_pem)
    (directory / "tls.key").write_text(made.key_pem)


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    write(tmp_path, pair())
    return CertificateFiles(tmp_path / "tls.crt", tmp_path / "tls.key")


def test_the_same_files_give_the_same_context(files: CertificateFiles) -> None:
    assert files.context() is files.context()


def test_new_files_give_a_new_one(files: CertificateFiles, tmp_path: Path) -> None:
    before = files.context()
    write(tmp_path, pair())
    after = files.context()
    assert after is not before
    assert files.context() is after


def test_a_directory_that_is_exchanged_as_a_whole_is_noticed(tmp_path: Path) -> None:
    """As the kubelet does it: `..data` is a link to a directory, and the files are links into that."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, pair())
    (tmp_path / "..data").symlink_to("one")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    files = CertificateFiles(tmp_path / "tls.crt", tmp_path / "tls.key")
    before = files.context()
    (tmp_path / "..new").symlink_to("two")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert files.context() is not before


def test_half_a_pair_leaves_the_last_good_one_until_it_is_whole(
    files: CertificateFiles, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before, made = files.context(), pair()
    (tmp_path / "tls.crt").write_text(made.cert_pem)
    assert files.context() is before
    assert files.context() is before
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
    (tmp_path / "tls.key").write_text(made.key_pem)
    assert files.context() is not before


def test_files_that_are_gone_leave_it_too(files: CertificateFiles, tmp_path: Path) -> None:
    before = files.context()
    (tmp_path / "tls.key").unlink()
    assert files.context() is before


def test_at_the_start_a_missing_file_is_a_mistake_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(MistakeError, match=r"metrics-cert, metrics-key: .*No such file"):
        CertificateFiles(tmp_path / "tls.crt", tmp_path / "tls.key")


def test_so_is_a_pair_that_is_none(tmp_path: Path) -> None:
    write(tmp_path, KeyPair(cert_pem=pair().cert_pem, key_pem=pair().key_pem))
    with pytest.raises(MistakeError, match="no certificate with its key"):
        CertificateFiles(tmp_path / "tls.crt", tmp_path / "tls.key")


def test_a_passphrase_is_not_asked_for(tmp_path: Path) -> None:
    made = pair()
    key = serialization.load_pem_private_key(made.key_pem.encode(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"hunter2")
    )
    write(tmp_path, KeyPair(cert_pem=made.cert_pem, key_pem=locked.decode()))
    with pytest.raises(MistakeError, match="without a passphrase"):
        CertificateFiles(tmp_path / "tls.crt", tmp_path / "tls.key")


def test_a_directory_in_its_place_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "tls.crt").mkdir()
    (tmp_path / "tls.key").write_text(pair().key_pem)
    with pytest.raises(MistakeError, match="metrics-cert"):
        CertificateFiles(tmp_path / "tls.crt", tmp_path / "tls.key")
