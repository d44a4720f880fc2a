"""The table at the end of a run, on the stream that is not the command's."""

import json

import pytest

from groyne.audit import Record, Summary
from groyne.output import Output
from groyne.summary import print_summary


@pytest.fixture
def summary():
    made = Summary()
    made.add(record("api.test", "mutated", rules=("default/p/key",), credentials=("default/openai[apiKey]",)))
    made.add(record("api.test", "mutated", rules=("default/p/key",)))
    made.add(record("evil.test", "blocked", rules=("default/p/rest",), reason="Blocked"))
    return made


def record(host, verdict, **more):
    return Record(time="", verdict=verdict, status=200, scheme="https", method="GET", host=host, path="/", **more)


def test_a_table_on_standard_error(summary, capsys):
    print_summary(summary, Output.TEXT, stream_is_ours=False)
    out, err = capsys.readouterr()
    assert out == ""
    title, columns, first, second = err.splitlines()
    assert title == "groyne: 2 hosts, 1 refused"
    assert columns.split() == ["host", "verdict", "requests", "rules", "credentials", "reason"]
    assert first.split() == ["api.test", "mutated", "2", "default/p/key", "default/openai[apiKey]"]
    assert second.split() == ["evil.test", "blocked", "1", "default/p/rest", "Blocked"]


def test_one_host_is_one_host(capsys):
    made = Summary()
    made.add(record("api.test", "passthrough"))
    print_summary(made, Output.TEXT, stream_is_ours=True)
    assert capsys.readouterr().err.startswith("groyne: 1 host, 0 refused\n")


def test_a_run_without_requests_says_so(capsys):
    print_summary(Summary(), Output.TEXT, stream_is_ours=False)
    assert capsys.readouterr().err == "groyne: no request was made\n"


@pytest.mark.parametrize(("ours", "stream"), [(True, 0), (False, 1)])
def test_json_keeps_out_of_the_commands_stream(summary, capsys, ours, stream):
    print_summary(summary, Output.JSON, stream_is_ours=ours)
    streams = capsys.readouterr()
    assert streams[1 - stream] == ""
    rows = json.loads(streams[stream])["summary"]
    assert [(row["host"], row["requests"]) for row in rows] == [("api.test", 2), ("evil.test", 1)]


def test_a_host_that_a_client_made_up_does_not_steer_the_terminal(capsys):
    made = Summary()
    made.add(record("\x1b[2Jevil", "blocked"))
    print_summary(made, Output.TEXT, stream_is_ours=False)
    assert "\x1b" not in capsys.readouterr().err
