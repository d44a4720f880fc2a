"""All paths or none, and a bounded wait for whoever writes the files."""

import asyncio
from pathlib import Path

import pytest

from mtls.files import ConfigurationError, MissingFilesError, missing, tls_files, wait_for
from unit_tests.kube.virtual import run
from unit_tests.mtls.pki import files_in

NAMES = ("GROYNE_TLS_CERT", "GROYNE_TLS_KEY", "GROYNE_TLS_CA")


def configured(certificate: str, key: str, authorities: str, *, mutual: bool = True):
    return tls_files(edge="the provider", certificate=certificate, key=key, authorities=authorities, names=NAMES, mutual=mutual)


def test_without_any_path_there_is_no_tls_and_blank_is_nothing():
    assert configured("", " ", "") is None


def test_all_paths_are_all_files_each_directory_named_once():
    files = configured("/a/tls.crt", "/a/tls.key", "/b/ca.crt")
    assert files.paths == (Path("/a/tls.crt"), Path("/a/tls.key"), Path("/b/ca.crt"))
    assert files.directories == (Path("/a"), Path("/b"))


@pytest.mark.parametrize("given", [("/c", "", ""), ("", "/k", ""), ("", "", "/a"), ("/c", "/k", ""), ("/c", "", "/a"), ("", "/k", "/a")])
def test_half_a_configuration_is_refused_by_a_text_that_names_the_peer_the_settings_and_the_paths(given):
    with pytest.raises(ConfigurationError) as caught:
        configured(*given)
    text = str(caught.value)
    assert "the provider" in text
    for name, path in zip(NAMES, given, strict=True):
        assert f"{name}={path}" in text if path else name in text


def test_a_server_that_verifies_nobody_does_without_a_trust_bundle_and_not_without_a_key():
    assert configured("/c", "/k", "", mutual=False).authorities is None
    with pytest.raises(ConfigurationError):
        configured("/c", "", "", mutual=False)


def test_it_waits_until_the_last_file_is_there(tmp_path):
    files = files_in(tmp_path)

    async def scenario() -> float:
        async def writer() -> None:
            for path in files.paths:
                await asyncio.sleep(7)
                path.write_text("")

        async with asyncio.TaskGroup() as group:
            group.create_task(writer())
            await wait_for(files)
        return asyncio.get_running_loop().time()

    assert 21 <= run(scenario()) <= 21.5


def test_the_wait_ends_and_names_what_is_missing_and_nothing_else(tmp_path):
    files = files_in(tmp_path)
    files.key.write_text("")

    async def scenario() -> float:
        with pytest.raises(MissingFilesError) as caught:
            await wait_for(files, timeout=30)
        assert caught.value.missing == (files.certificate, files.authorities)
        assert str(files.certificate) in str(caught.value)
        assert str(files.key) not in str(caught.value)
        return asyncio.get_running_loop().time()

    assert run(scenario()) == 30


def test_the_wait_can_be_cancelled(tmp_path):
    async def scenario() -> None:
        async with asyncio.timeout(1):
            await wait_for(files_in(tmp_path))

    with pytest.raises(TimeoutError):
        run(scenario())


def test_no_wait_is_one_look(tmp_path):
    with pytest.raises(MissingFilesError):
        run(wait_for(files_in(tmp_path), timeout=0))
    for path in files_in(tmp_path).paths:
        path.write_text("")
    run(wait_for(files_in(tmp_path), timeout=0))


def test_what_cannot_be_looked_at_is_not_waited_for(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        missing(files_in(tmp_path / "file"))


def test_a_link_that_leads_nowhere_is_a_file_that_is_not_there_yet(tmp_path):
    files = files_in(tmp_path)
    files.key.symlink_to("..data/tls.key")
    assert files.key in missing(files)
