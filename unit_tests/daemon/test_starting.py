"""How a process begins, up to its own work."""

import json
import logging

import pytest

from daemon.settings import Model
from daemon.starting import CANNOT_BEGIN, begin


class Settings(Model):
    workers: int = 1


@pytest.fixture(autouse=True)
def loggers():
    """The root logger is as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)


def begun(*arguments, run=lambda _: 0):
    return begin(arguments, Settings, run, program="python -m this", description="This.")


def test_what_runs_has_the_settings_and_its_exit_code_is_the_process():
    assert begun("--workers", "7", run=lambda settings: settings.workers) == 7


def test_mistaken_settings_are_all_said_and_nothing_runs(capsys):
    assert begun("--workers", "many", "--log-level", "loud", run=lambda _: pytest.fail("it ran")) == CANNOT_BEGIN
    said = capsys.readouterr().err
    assert "--workers" in said
    assert "--log-level" in said


def test_a_warning_of_the_settings_is_a_line_of_the_log(monkeypatch, capsys):
    monkeypatch.setenv("GROYNE_WORKRES", "3")
    assert begun() == 0
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], "GROYNE_WORKRES" in line["msg"]) == ("warning", True)
