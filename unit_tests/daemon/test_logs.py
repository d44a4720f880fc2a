"""A line is one JSON object, or one line of text; errors of the world are short, and libraries are quiet."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon import logs
from kube.errors import Forbidden, NotFound
from kube.outcome import redacted

LOG = logging.getLogger("groyne.test")


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook)
    handlers, level = list(root.handlers), root.level
    yield
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(False)
    for name in logs.QUIET:
        logging.getLogger(name).setLevel(logging.NOTSET)
    root.handlers[:] = handlers
    root.setLevel(level)


def started(form: Literal["json", "text"] = "json", level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    logs.configure(level=level, form=form, stream=stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail(error: Exception) -> None:
    raise error


def caused(error: Exception, by: Exception) -> Exception:
    error.__cause__ = by
    return error


def test_a_line_holds_time_level_logger_message_and_what_was_given() -> None:
    stream = started()
    LOG.info("wrote %s", "x", extra={"key": "team-a/x", "seconds": 1.5})
    (line,) = lines(stream)
    moment = line.pop("ts")
    assert list(line) == ["level", "logger", "msg", "key", "seconds"]
    assert line == {"level": "info", "logger": "groyne.test", "msg": "wrote x", "key": "team-a/x", "seconds": 1.5}
    assert moment.endswith("Z")
    assert len(moment) == len("2026-11-21T14:28:27.134Z")


def test_below_the_level_nothing_is_written() -> None:
    stream = started(level="warning")
    LOG.info("x")
    LOG.warning("y")
    assert [line["msg"] for line in lines(stream)] == ["y"]


def test_fields_of_the_caller_do_not_replace_ours() -> None:
    stream = started()
    LOG.info("x", extra={"ts": 0, "level": "none", "logger": "me"})
    assert lines(stream)[0]["level"] == "info"


def test_secrets_are_masked_in_fields_arguments_and_messages() -> None:
    stream = started()
    LOG.info("got %s", {"kind": "Secret", "data": {"k": "aHVudGVyMg=="}}, extra={"token": "hunter2", "object": {"password": "hunter2"}})
    assert "hunter2" not in stream.getvalue()
    assert "aHVudGVyMg" not in stream.getvalue()


def test_an_error_of_the_api_server_is_one_field() -> None:
    stream = started()
    try:
        fail(NotFound("get pods team-a/x: 404 NotFound"))
    except NotFound:
        LOG.exception("could not")
    (line,) = lines(stream)
    assert line["error"] == "NotFound: get pods team-a/x: 404 NotFound"
    assert "traceback" not in line


def test_so_is_a_group_of_them() -> None:
    stream = started()
    LOG.error("x", exc_info=ExceptionGroup("some", [NotFound("a"), ExceptionGroup("inner", [Forbidden("b"), NotFound("a")])]))
    (line,) = lines(stream)
    assert line["error"] == "NotFound: a; Forbidden: b"
    assert "traceback" not in line


def test_a_bug_has_its_class_and_its_traceback_and_not_what_it_says() -> None:
    """A KeyError says the key, a ValueError what could not be read: either may be a secret that no pattern knows."""
    stream, secret = started(), "hunter" + "2"
    try:
        fail(ValueError(secret))
    except ValueError as first:
        LOG.exception("could not", exc_info=caused(KeyError(secret), first))
    (line,) = lines(stream)
    assert line["error"] == "KeyError"
    assert "test_a_bug_has_its_class" in line["traceback"]
    assert "fail(ValueError" in line["traceback"]
    assert "hunter2" not in stream.getvalue()


def test_what_was_already_redacted_stays_as_it_is() -> None:
    stream = started()
    LOG.error("x", exc_info=redacted(ExceptionGroup("some", [KeyError("hunter2"), ValueError("y")])))
    LOG.error("x", exc_info=redacted(KeyError("hunter2")))
    assert [line["error"] for line in lines(stream)] == ["KeyError; ValueError", "KeyError"]


def test_a_bug_among_errors_of_the_api_server_has_its_traceback() -> None:
    stream = started()
    LOG.error("x", exc_info=ExceptionGroup("some", [NotFound("a"), KeyError("b")]))
    assert "traceback" in lines(stream)[0]


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_line_that_cannot_be_written_is_named_without_its_arguments(form: Literal["json", "text"]) -> None:
    stream = started(form)
    LOG.info("%d", "hunter2")
    assert "could not be written: TypeError" in lines(stream)[0]["msg"]
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_stream_that_is_gone_ends_nothing(form: Literal["json", "text"]) -> None:
    stream = started(form)
    stream.close()
    LOG.info("x")


@pytest.mark.parametrize("name", logs.QUIET)
def test_libraries_are_quiet_at_every_level(name: str) -> None:
    stream = started(level="debug")
    logging.getLogger(name).info("request: GET /api/v1/secrets")
    logging.getLogger(name).warning("odd")
    assert [line["msg"] for line in lines(stream)] == ["odd"]


def test_warnings_of_python_are_lines_too() -> None:
    stream = started()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("careful", stacklevel=1)
    assert "careful" in lines(stream)[0]["msg"]


def test_what_nobody_caught_is_a_line() -> None:
    stream = started()
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    sys.excepthook(ValueError, ValueError("x"), None)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert [(line["level"], line["error"]) for line in lines(stream)] == [
        ("critical", "ZeroDivisionError"),
        ("critical", "ValueError"),
    ]


def test_text_is_one_line_with_fields_at_its_end_and_no_colour_where_no_terminal_is() -> None:
    stream = started("text")
    LOG.warning("the watch ended", extra={"resource": "pods", "why": "it was cut", "count": 3})
    (line,) = stream.getvalue().splitlines()
    assert line.split(" ", 1)[1] == 'warning groyne.test  the watch ended  resource=pods  why="it was cut"  count=3'


def test_text_has_colours_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    logs.configure(level="info", form="text", stream=stream)
    LOG.error("x")
    assert "\x1b[31m" in stream.getvalue()


def test_a_traceback_is_below_its_line_in_text() -> None:
    stream = started("text")
    LOG.error("x", exc_info=ValueError("y"))
    assert stream.getvalue().splitlines()[1:] == ["    kube.outcome.Redacted: ValueError"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(), st.text())
def test_whatever_is_said_a_line_stays_one_line(said: str, value: str) -> None:
    for form in ("json", "text"):
        stream = started(form)
        LOG.info("%s", said, extra={"value": value})
        assert len(stream.getvalue().splitlines()) == 1
        assert all(each.isprintable() for each in stream.getvalue()[:-1])
    assert stream.getvalue().endswith("\n")
