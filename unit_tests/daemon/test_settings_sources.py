"""Which source wins, and what is said of a mistake in each."""

import os
from pathlib import Path

import pytest

from controller.settings import Settings
from daemon import settings_sources
from daemon.settings import MistakeError
from daemon.settings_sources import Loaded, Sources


@pytest.fixture(autouse=True)
def nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("GROYNE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.yaml"


SOURCES = Sources(model=Settings, program="python -m controller", description="Groyne's controller.")


def load(arguments: list[str]) -> Loaded[Settings]:
    return settings_sources.load(arguments, Settings, program=SOURCES.program, description=SOURCES.description)


def mistakes(*arguments: str) -> tuple[str, ...]:
    with pytest.raises(MistakeError) as raised:
        load(arguments)
    assert str(raised.value) == "\n".join(raised.value.lines)
    return raised.value.lines


def test_without_anything_the_defaults_hold() -> None:
    assert load([]).settings == Settings()
    assert load([]).warnings == ()


def test_flags_win_over_the_environment_and_it_over_the_file(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    file.write_text("workers: 1\nlease-name: file\nlog-level: debug\n")
    monkeypatch.setenv("GROYNE_WORKERS", "2")
    monkeypatch.setenv("GROYNE_LEASE_NAME", "environment")
    read = load(["--config", str(file), "--workers", "3"]).settings
    assert (read.workers, read.lease_name, read.log_level, read.call_deadline) == (3, "environment", "debug", 5.0)


def test_the_environment_can_name_the_file(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    file.write_text("workers: 5\n")
    monkeypatch.setenv("GROYNE_CONFIG", str(file))
    assert load([]).settings.workers == 5


def test_every_setting_has_its_flag_its_variable_and_its_key(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Each is given a wrong value in each place, and is then complained about there."""
    numbers = {name for name, field in SOURCES.fields.items() if Settings.model_fields[field].annotation in {int, float}}
    for flag in numbers:
        variable = "GROYNE_" + flag.upper().replace("-", "_")
        assert mistakes(f"--{flag}=x")[0].startswith(f"--{flag}: must be a")
        file.write_text(f"{flag}: x\n")
        assert mistakes(f"--config={file}")[0].startswith(f"{file}:1: {flag}: must be a")
        with monkeypatch.context() as patched:
            patched.setenv(variable, "x")
            assert mistakes()[0].startswith(f"{variable}: must be a")
    assert len(numbers) >= 10


@pytest.mark.parametrize(
    ("arguments", "once", "election"),
    [
        ((), False, True),
        (("--once",), True, True),
        (("--no-leader-election",), False, False),
        (("--once=true", "--leader-election=false"), True, False),
        (("--once", "--once=False"), False, True),
    ],
)
def test_switches_are_written_in_either_way(arguments: tuple[str, ...], once: bool, election: bool) -> None:
    read = load(arguments).settings
    assert (read.once, read.leader_election) == (once, election)


def test_lists_by_flag_variable_and_file(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    wanted = ("192.0.2.0/24", "198.51.100.0/24")
    assert load(["--excluded-ranges", ",".join(wanted)]).settings.excluded_ranges == wanted
    assert load([f"--excluded-ranges={each}" for each in wanted]).settings.excluded_ranges == wanted
    file.write_text("excluded-ranges:\n" + "".join(f"- {each}\n" for each in wanted))
    assert load(["--config", str(file)]).settings.excluded_ranges == wanted
    monkeypatch.setenv("GROYNE_EXCLUDED_RANGES", ",".join(wanted))
    assert load([]).settings.excluded_ranges == wanted


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROYNE_WORKERS", "")
    assert load([]).settings.workers == 16


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--wokers=3",), "--wokers: there is no such flag: did you mean `--workers`?"),
        (("--lead",), "--lead: there is no such flag"),
        (("run",), "run: only flags are read: what is it for?"),
        (("--workers",), "--workers: expected one argument"),
        (("--workers", "0"), "--workers: must be at least 1"),
        (("--lease-retry=0",), "--lease-retry: must be more than 0"),
        (("--health-port=99999",), "--health-port: must be at most 65535"),
        (("--opt-in=labels",), "--opt-in: must be one of label, all: did you mean `label`?"),
        (("--lease-retry=nan",), "--lease-retry: must be a finite number"),
        (("--lease-name=" + "x" * 300,), "--lease-name: may have 253 characters"),
        (("--namespace=A",), "--namespace: must be the name of one namespace, or empty for all of them"),
        (("--allowed-private=10.0.0.0/8,10.0.0",), "--allowed-private[1]: `10.0.0` is no address range: write one such as `10.96.0.0/12`"),
        (
            ("--lease-duration=9",),
            (
                "lease-renew-deadline (by default 10) and --lease-duration: lease-renew-deadline must be shorter than lease-duration:"
                " a holder must have stopped before another begins"
            ),
        ),
        (("--kubeconfig=/nowhere/at.all",), "--kubeconfig: there is no such file"),
        (("--config=/nowhere/at.all",), "--config: /nowhere/at.all: there is no such file or directory"),
    ],
)
def test_a_wrong_flag_is_named_with_the_remedy(arguments: tuple[str, ...], said: str) -> None:
    assert mistakes(*arguments) == (said,)


def test_of_several_kubeconfigs_one_is_enough(file: Path) -> None:
    """As kubectl has it."""
    file.touch()
    assert load([f"--kubeconfig=/nowhere/at.all:{file}"]).settings.kubeconfig


def test_all_wrong_values_are_said_at_once() -> None:
    assert len(mistakes("--workers=x", "--opt-in=y", "--lease-retry=z")) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("log-level: info\n\nworkerz: 3\n", ":3: workerz: there is no such setting: did you mean `workers`?"),
        ("lease_retry: 1\n", ":1: lease_retry: there is no such setting: did you mean `lease-retry`?"),
        ("config: other.yaml\n", ":1: config: one file does not name another: remove this line"),
        ("log-level: info\nonce: perhaps\n", ":2: once: must be `true` or `false`"),
        ("context:\n", ":1: context: must be text"),
        ("excluded-ranges:\n- 10.0.0.0/8\n- {}\n", ":1: excluded-ranges[1]: must be text"),
        ("excluded-ranges: {a: b}\n", ":1: excluded-ranges: must be a list, or one text with commas"),
        ("kubeconfig: [a]\n", ":1: kubeconfig: must be the path of a file"),
        ("workers: 1\nworkers: 2\n", ":2: "),
        ("workers: [\n", ":2: not valid YAML"),
        ("- workers\n", ": must hold one map of settings, such as `log-level: debug`"),
        ("workers: 1\n---\nworkers: 2\n", ": must hold one map of settings, such as `log-level: debug`"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    assert mistakes("--config", str(file))[0].startswith(f"{file}{said}")


def test_an_empty_file_says_nothing(file: Path) -> None:
    file.write_text("# nothing yet\n")
    assert load(["--config", str(file)]).settings.workers == 16


def test_a_value_that_is_wrong_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WORKERS", "ONCE", "OPT_IN", "OPT_IN_LABEL", "NAMESPACE", "LEASE_RETRY"):
        with monkeypatch.context() as patched:
            patched.setenv(f"GROYNE_{name}", "Hunter2,Hunter2")
            assert "Hunter2" not in mistakes()[0]


def test_an_unknown_variable_is_a_warning_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROYNE_WORKRES", "3")
    read = load([])
    assert read.warnings == ("GROYNE_WORKRES: there is no such setting, it is not used: did you mean `GROYNE_WORKERS`?",)
    assert read.settings.workers == 16


def test_what_kubernetes_says_of_services_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Service `groyne-health` in the namespace sets all of these in every container."""
    for name, value in {
        "SERVICE_HOST": "10.96.0.9",
        "SERVICE_PORT": "8080",
        "SERVICE_PORT_HTTP": "8080",
        "PORT": "tcp://10.96.0.9:8080",
        "PORT_8080_TCP": "tcp://10.96.0.9:8080",
        "PORT_8080_TCP_ADDR": "10.96.0.9",
    }.items():
        monkeypatch.setenv(f"GROYNE_HEALTH_{name}", value)
    read = load([])
    assert (read.settings.health_port, read.warnings) == (8080, ())


def test_help_names_every_setting_and_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load(["--help"])
    said = "".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert all(f"--{name}" in said and f"GROYNE_{field.upper()}" in said for name, field in SOURCES.fields.items())


def test_version_says_which(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        load(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("groyne ")
