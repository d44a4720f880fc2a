"""How commands speak: tables for people, plain columns through a pipe, and nothing that steers a terminal."""

import errno
import io
import json

import pytest
from rich.console import Console

from groyne import output

COLUMNS = ("host", "verdict")
ROWS = (("api.test", "blocked"), ("a-longer-name.test", "passthrough"))


def printed(rows, *, terminal=False, title="", width=80):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=width, emoji=False, soft_wrap=True, highlight=False)
    output.print_table(COLUMNS, rows, console=console, title=title)
    return stream.getvalue()


def test_through_a_pipe_columns_are_aligned_and_plain():
    assert printed(ROWS, title="two hosts") == (
        "two hosts\nhost                verdict\napi.test            blocked\na-longer-name.test  passthrough\n"
    )


def test_a_long_line_is_not_broken_through_a_pipe():
    assert len(printed([("x" * 500, "y")], width=20).splitlines()) == 2


def test_a_person_gets_a_table_with_colours():
    out = printed(ROWS, terminal=True)
    assert "\x1b[31mblocked" in out
    assert "━" in out


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("text", ["\x1b]0;title\x07", "a\rb", "a\nb", "\u202etxt", "\x9b2J", "\ud800"])
def test_nothing_in_a_cell_steers_a_terminal(text, terminal):
    out = printed([(text, "x")], terminal=terminal)
    for character in text:
        if not character.isprintable() and character != "\x1b":
            assert character not in out.replace("\n", "")
    assert "]0;title\x07" not in out


@pytest.mark.parametrize("terminal", [False, True])
def test_markup_and_pictures_are_text(terminal):
    assert "[red]:smile:[/]" in printed([("[red]:smile:[/]", "x")], terminal=terminal)


def test_what_is_said_goes_to_standard_error_as_it_is(capsys):
    output.say("groyne: [bold]:smile: \x1b[2J\x07")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "groyne: [bold]:smile: \\u001b[2J\\u0007\n")


def test_json_is_one_line_of_ascii(capsys):
    output.print_json({"a": ["é\n", "\ud800"]})
    out = capsys.readouterr().out
    assert out.isascii()
    assert out.count("\n") == 1
    assert json.loads(out) == {"a": ["é\n", "\ud800"]}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/nope"), "/nope: No such file or directory"),
        (OSError(errno.EADDRINUSE, "Address in use (while attempting to bind on ('127.0.0.1', 1))"), "Address already in use"),
        (OSError(-2, "Name or service not known"), "Name or service not known"),
        (PermissionError("in my own words"), "in my own words"),
        (ValueError("too long"), "too long"),
        (OSError(errno.ENOENT, "x", b"/\xff"), "/\udcff: No such file or directory"),
    ],
)
def test_an_error_says_file_and_words_without_its_number(error, words):
    assert output.because(error) == words
