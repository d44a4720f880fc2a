"""Three files read as one."""

import os
from datetime import timedelta

import certifi
import pytest
from cryptography.hazmat.primitives import serialization

from mtls import material
from mtls.files import TlsFiles
from mtls.identity import Purpose
from mtls.material import MaterialError, look, read
from unit_tests.mtls.pki import BOTH, CLIENT, HOUR, SERVER, authority, leaf, pem, swap, write

ROOT = authority()


def refused(files: TlsFiles, *purposes: Purpose) -> str:
    with pytest.raises(MaterialError) as caught:
        read(files, purposes)
    text = str(caught.value)
    assert files.edge in text
    assert "PRIVATE" not in text
    assert "BEGIN" not in text
    return text


def test_what_belongs_together_is_read_with_who_it_is_for_and_when_it_ends(tmp_path):
    issuing = authority("issuing", above=ROOT, ends=HOUR / 2)
    made = leaf(issuing, SERVER)
    found = read(write(tmp_path, made, ROOT), [Purpose.SERVER, Purpose.CLIENT])
    assert str(found.identity) == SERVER
    assert found.ends == issuing.certificate.not_valid_after_utc
    assert found.authorities_end == ROOT.certificate.not_valid_after_utc
    assert found.certificate_pem.count(b"BEGIN") == 2


def test_the_key_is_in_no_representation(tmp_path):
    found = read(write(tmp_path, leaf(ROOT, SERVER), ROOT))
    assert "PRIVATE" not in repr(found)
    assert "key_pem" not in repr(found)


def test_a_key_of_another_certificate_is_refused_with_both_paths(tmp_path):
    files = write(tmp_path, leaf(ROOT, SERVER), ROOT)
    files.key.write_bytes(leaf(ROOT, SERVER).key_pem)
    text = refused(files)
    assert str(files.key) in text
    assert str(files.certificate) in text


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("cut", [0, 40, -40])
def test_a_half_written_file_is_refused_with_its_path(tmp_path, which, cut):
    files = write(tmp_path, leaf(ROOT, SERVER), ROOT)
    path = files.paths[which]
    path.write_bytes(path.read_bytes()[:cut])
    assert str(path) in refused(files)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_missing_file_is_refused_with_its_path(tmp_path, which):
    files = write(tmp_path, leaf(ROOT, SERVER), ROOT)
    files.paths[which].unlink()
    assert str(files.paths[which]) in refused(files)


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(tmp_path):
    made = leaf(ROOT, SERVER)
    files = write(tmp_path, made, ROOT)
    files.key.write_bytes(
        made.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
        )
    )
    assert "passphrase" in refused(files)


def test_a_certificate_that_is_not_made_for_what_it_is_used_for_is_refused(tmp_path):
    files = write(tmp_path, leaf(ROOT, SERVER, usages=BOTH[:1]), ROOT)
    read(files, [Purpose.SERVER])
    assert "clientAuth" in refused(files, Purpose.CLIENT)


def test_a_certificate_of_several_identities_or_an_authoritys_is_refused(tmp_path):
    assert "2 URIs" in refused(write(tmp_path, leaf(ROOT, SERVER, CLIENT), ROOT))
    assert "authority" in refused(write(tmp_path, ROOT, ROOT))


def test_a_certificate_without_uri_has_no_identity(tmp_path):
    assert read(write(tmp_path, leaf(ROOT), ROOT)).identity is None


def test_a_bundle_holds_authorities_alone(tmp_path):
    files = write(tmp_path, leaf(ROOT, SERVER), ROOT)
    files.authorities.write_bytes(pem(ROOT.certificate) + pem(leaf(ROOT, CLIENT).certificate))
    assert f"certificate 2 in {files.authorities}" in refused(files)


def test_the_public_roots_are_a_bundle(tmp_path):
    files = write(tmp_path, leaf(ROOT, SERVER), ROOT)
    files.authorities.write_bytes(certifi.contents().encode())
    assert read(files).authorities_pem.count(b"BEGIN") > 100


def test_a_bundle_ends_with_the_last_of_its_authorities(tmp_path):
    old, new = authority("old", ends=timedelta(minutes=5)), authority("new")
    assert read(write(tmp_path, leaf(new, SERVER), old, new)).authorities_end == new.certificate.not_valid_after_utc


def test_a_huge_file_is_refused(tmp_path):
    files = write(tmp_path, leaf(ROOT, SERVER), ROOT)
    with files.authorities.open("ab") as file:
        file.truncate(material.LARGEST + 1)
    assert "larger" in refused(files)


def test_a_swap_in_the_middle_of_reading_is_read_again_as_a_whole(tmp_path, monkeypatch):
    first, second = leaf(ROOT, SERVER), leaf(ROOT, SERVER)
    files = swap(tmp_path, first, ROOT)
    original, reads = material._contents, []

    def between(edge, path):
        content = original(edge, path)
        reads.append(path)
        if len(reads) == 1:
            swap(tmp_path, second, ROOT)
        return content

    monkeypatch.setattr(material, "_contents", between)
    assert read(files).certificate_pem == second.certificate_pem
    assert len(reads) == 6


def test_files_that_never_stand_still_are_refused(tmp_path, monkeypatch):
    files = write(tmp_path, leaf(ROOT, SERVER), ROOT)
    original = material._contents

    def touching(edge, path):
        content = original(edge, path)
        os.utime(path, ns=(0, touching.time))
        touching.time += 1
        return content

    touching.time = 1
    monkeypatch.setattr(material, "_contents", touching)
    assert "keep changing" in refused(files)


def test_a_look_differs_after_a_swap_of_the_directory_behind_the_files(tmp_path):
    files = swap(tmp_path, leaf(ROOT, SERVER), ROOT)
    before = look(files)
    assert look(files) == before
    swap(tmp_path, leaf(ROOT, SERVER), ROOT)
    assert look(files) != before
