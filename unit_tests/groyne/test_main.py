"""The command line itself: options that cannot be meant, exit codes, and errors that quote nothing."""

import json
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

import groyne.__main__ as cli
from groyne.output import Exit
from unit_tests.groyne.written import VALUE, secret, write
from unit_tests.policy.profiles import block, manifest, rule, token

RULES = (
    rule("key", match=[{"domains": ["api.test"], "schemes": ["https"]}], tokenTransformation=token()),
    rule("known", match=[{"domains": ["api.test"]}], bypass=True),
    rule("rest", block=block()),
)


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy"
    path.mkdir()
    write(path, manifest(*RULES), secret(apiKey=VALUE))
    return path


def groyne(*arguments, stdin=None):
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], input=stdin)


def test_explain_answers_and_exits_by_its_verdict(policy):
    allowed = groyne("explain", policy, "--request", "GET https://api.test/", "-o", "json")
    assert (allowed.exit_code, json.loads(allowed.stdout)["verdict"]) == (0, "bypassed")
    refused = groyne("explain", policy, "--request", "GET https://evil.test/")
    assert (refused.exit_code, refused.stdout.splitlines()[1]) == (3, "blocked with 403 (Blocked)")


def test_values_are_shown_where_they_are_asked_for_only(policy):
    asked = ("explain", policy, "--request", "GET https://api.test/", "-o", "json")
    assert VALUE not in groyne(*asked).stdout
    assert VALUE in groyne(*asked, "--reveal").stdout


def test_json_lines_come_from_a_file_or_standard_input_and_in_their_order(policy, tmp_path):
    lines = b'{"authority": "api.test"}\r\n{"authority": "evil.test", "path": "/\xe2\x80\xa8"}\n\n{"authority": "api.test", "body": "\xff"}'
    (tmp_path / "lines").write_bytes(lines)
    from_file = groyne("explain", policy, "--requests", tmp_path / "lines")
    from_stdin = groyne("explain", policy, "--requests", "-", stdin=lines)
    assert [json.loads(line)["verdict"] for line in from_file.stdout.splitlines()] == ["bypassed", "blocked", "bypassed"]
    assert (from_stdin.stdout, from_stdin.exit_code, from_file.exit_code) == (from_file.stdout, 3, 3)


def test_who_is_judged_may_be_nobodys_profile(policy):
    write(policy, manifest(*RULES, selector={"matchLabels": {"app": "web"}}), secret(apiKey=VALUE))
    nobody = groyne("explain", policy, "--request", "GET https://evil.test/")
    assert (nobody.exit_code, "everything passes" in nobody.stderr) == (0, True)
    assert groyne("explain", policy, "--labels", " app = web ", "--request", "GET https://evil.test/").exit_code == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "give either --request 'METHOD URL' or --requests FILE"),
        (("--request", "x", "--requests", "y"), "give either --request"),
        (("--request", "nonsense"), "--request 'nonsense': write 'METHOD URL'"),
        (("--request", "GET http://h/", "-H", "nonsense"), "--header 'nonsense': write 'Name: value'"),
        (("--requests", "/nope"), "--requests /nope: No such file or directory"),
        (("--requests", "/"), "--requests /: Is a directory"),
        (("--request", "GET http://h/", "--labels", "a"), "--labels 'a': write key=value"),
        (("--request", "GET http://h/", "--labels", "=b"), "--labels '=b': write key=value"),
        (("--request", "GET http://h/", "--labels", "a b=c"), "--labels 'a b=c': a key is made of"),
        (("--request", "GET http://h/", "--labels", "a=b c"), "--labels 'a=b c': a label's value"),
        (("--request", "GET http://h/", "--labels", "a=1,a=2"), "--labels 'a=2': the key a stands twice"),
        (("--request", "GET http://h/", "--labels", "a=b", "--template", "t"), "give --template or --labels, not both"),
        (("--request", "GET http://h/", "-n", "No Namespace"), "--namespace 'No Namespace': use lower-case letters"),
        (("--request", "GET http://h/", "--resolve", "nonsense"), "--resolve nonsense: write HOST:PORT:ADDR"),
    ],
)
def test_options_that_cannot_be_meant_are_wrong_usage(policy, options, said):
    done = groyne("explain", policy, *options)
    assert done.exit_code == Exit.USAGE
    assert f"groyne: {said}" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("command", [("check",), ("explain", "--request", "GET http://h/"), ("render", "--out", "/nope"), ("run",)])
def test_a_directory_that_is_not_there_is_a_problem_of_every_command(command):
    done = groyne(*command, "/nope")
    assert done.exit_code == Exit.PROBLEMS
    assert "/nope:1: error: there is no such file or directory [NotFound]" in done.stderr


def test_render_tells_the_files_and_names_what_it_could_not_write(policy, tmp_path):
    done = groyne("render", policy, "--out", tmp_path / "out", "-o", "json")
    assert "envoy/bootstrap.json" in json.loads(done.stdout)["files"]
    (tmp_path / "file").touch()
    failed = groyne("render", policy, "--out", tmp_path / "file")
    assert (failed.exit_code, failed.stderr) == (Exit.USAGE, f"groyne: --out: {tmp_path}/file/envoy: Not a directory\n")


@pytest.mark.parametrize("command", [(), ("explain", "--help"), ("run", "--help")])
def test_help_names_the_options(command):
    text = groyne(*command).output
    assert "Usage:" in text


def test_an_empty_command_is_not_found():
    done = groyne("run", "/nope", "--", "")
    assert (done.exit_code, "COMMAND is empty" in done.stderr) == (Exit.NOT_FOUND, True)


def internal_error(monkeypatch, capsys, error):
    def broken():
        raise error

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code, capsys.readouterr().err


def test_what_nobody_foresaw_is_a_sentence_that_quotes_nothing(monkeypatch, capsys):
    monkeypatch.delenv("GROYNE_DEBUG", raising=False)
    code, said = internal_error(monkeypatch, capsys, ValueError(VALUE))
    assert code == Exit.INTERNAL
    assert said == "groyne: internal error (ValueError): please report it; GROYNE_DEBUG=1 shows where\n"


def test_an_interrupt_is_no_error(monkeypatch, capsys):
    assert internal_error(monkeypatch, capsys, KeyboardInterrupt()) == (Exit.INTERRUPTED, "")


def test_the_version_is_the_installed_package_s():
    done = groyne("--version")
    assert (done.exit_code, done.stdout) == (0, f"groyne {version('groyne')}\n")
