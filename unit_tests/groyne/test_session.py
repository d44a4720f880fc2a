"""What a run needs before its command starts, and the one sentence where it cannot be had."""

import asyncio
import os
import stat
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from dataplane.access_log import FILE as ACCESS_LOG
from groyne import clock
from groyne.envoy import EnvoyError
from groyne.output import Exit
from groyne.resolve_option import parse_pins
from groyne.rundir import RunDirectory
from groyne.session import RunError, RunSpec, acceptable, audit_file, or_refuse, prepared, started, write_trust
from groyne.trust import Trust
from groyne.workspace import Who
from unit_tests.groyne.written import VALUE, secret, write
from unit_tests.policy.profiles import block, manifest, rule, token

KEY = rule("key", match=[{"domains": ["api.test"], "schemes": ["https"]}], tokenTransformation=token())


def spec(directory, **more):
    return RunSpec(**{"directory": directory, "who": Who(), "pins": parse_pins([]), "command": ("true",), **more})


@pytest.fixture
def run(tmp_path):
    for name in ("private", "public"):
        (tmp_path / name).mkdir()
    return RunDirectory(private=tmp_path / "private", public=tmp_path / "public")


@pytest.fixture
def policy(tmp_path):
    (tmp_path / "policy").mkdir()
    write(tmp_path / "policy", manifest(KEY), secret(apiKey=VALUE))
    return tmp_path / "policy"


def entered(made):
    """Enters an asynchronous context and hands out what it gave, after it ended."""

    async def enter():
        async with made as given:
            return given

    return asyncio.run(enter())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "No such file or directory", "/nope"), "--x /nope: No such file or directory"),
        (ValueError("too long"), "--x too long"),
        (EnvoyError("Envoy is missing"), "--x Envoy is missing"),
    ],
)
def test_what_the_world_lacks_becomes_the_reason(error, said):
    def fails():
        raise error

    with pytest.raises(RunError) as caught:
        or_refuse(fails, "--x ")
    assert (str(caught.value), caught.value.exit_code) == (said, Exit.USAGE)


def test_what_can_be_made_is_handed_on_and_bugs_stay_bugs():
    assert or_refuse(lambda: 7) == 7
    with pytest.raises(KeyError):
        or_refuse(lambda: {}["x"])


def test_a_policy_with_a_mistake_is_refused_with_all_of_them(tmp_path, capsys):
    bad = rule("bad", match=[{"domains": ["a b"]}, {"domains": ["c d"]}], block=block())
    write(tmp_path, manifest(bad))
    with pytest.raises(RunError) as caught:
        acceptable(spec(tmp_path))
    assert caught.value.exit_code == Exit.PROBLEMS
    assert capsys.readouterr().err.count("[InvalidDomain]") == 2


def test_a_missing_credential_is_said_and_the_run_starts(tmp_path, capsys):
    write(tmp_path, manifest(KEY))
    assert acceptable(spec(tmp_path)).selection.rules
    assert "[SecretNotFound]" in capsys.readouterr().err


def test_foreign_objects_are_not_worth_a_word(policy, capsys):
    write(policy, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}}, file="foreign.yaml")
    acceptable(spec(policy))
    assert capsys.readouterr().err == ""


def test_a_policy_for_somebody_else_is_warned_of(tmp_path, capsys):
    write(tmp_path, manifest(selector={"matchLabels": {"app": "x"}}))
    acceptable(spec(tmp_path))
    assert "everything passes" in capsys.readouterr().err


def test_the_audit_file_is_appended_to_and_private(tmp_path):
    for line in ("one\n", "two\n"):
        with audit_file(tmp_path / "audit") as out:
            out.write(line)
    assert (tmp_path / "audit").read_text() == "one\ntwo\n"
    assert stat.S_IMODE((tmp_path / "audit").stat().st_mode) == 0o600
    with audit_file(None) as out:
        assert os.fstat(out.fileno()).st_rdev == Path(os.devnull).stat().st_rdev


def test_trust_is_written_where_each_side_reads_it(run, policy):
    trust = Trust.fresh(clock.now())
    write_trust(spec(policy), run, trust)
    assert sorted(path.name for path in run.public.iterdir()) == ["bundle.pem", "ca.pem", "truststore.p12"]
    assert trust.ca.cert_pem.strip() in (run.public / "bundle.pem").read_text()
    (roots,) = run.private.iterdir()
    assert trust.ca.cert_pem.strip() not in roots.read_text()


def test_what_clients_trusted_before_joins_the_bundle(run, policy, tmp_path):
    other = Trust.fresh(clock.now()).ca.cert_pem
    (tmp_path / "company").write_text(other)
    write_trust(spec(policy, environ={"REQUESTS_CA_BUNDLE": str(tmp_path / "company")}), run, Trust.fresh(clock.now()))
    assert other.strip() in (run.public / "bundle.pem").read_text()


@pytest.mark.parametrize(
    ("more", "said"), [({"environ": {"PIP_CERT": "/nope"}}, "PIP_CERT"), ({"upstream_ca": Path("/nope")}, "--upstream-ca")]
)
def test_a_trust_file_that_cannot_be_read_is_named_by_who_named_it(run, policy, more, said):
    with pytest.raises(RunError, match=f"^{said} names a file that cannot be read: /nope: No such file"):
        write_trust(spec(policy, **more), run, Trust.fresh(clock.now()))


def test_the_commands_environment_holds_placeholders(run, policy):
    environ = {"OPENAI_API_KEY": VALUE, "OTHER": "kept"}
    given = spec(policy, environ=environ)
    session = entered(prepared(given, acceptable(given), run))
    assert session.env["OTHER"] == "kept"
    assert session.env["OPENAI_API_KEY"] != VALUE
    assert VALUE not in repr(session)
    assert session.proxy.placeholders == {"default/openai[apiKey]": session.env["OPENAI_API_KEY"]}


def test_envoys_files_are_written_before_it_starts(run, policy):
    given = spec(policy)
    entered(prepared(given, acceptable(given), run))
    names = {path.name for path in run.private.iterdir()}
    assert {"bootstrap.json", "lds.json", "cds.json", ACCESS_LOG} <= names
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in run.private.iterdir())


@pytest.mark.parametrize("name", ["missing/audit", "policy"])
def test_an_audit_file_that_cannot_be_written_is_refused(run, policy, tmp_path, name):
    given = spec(policy, audit=tmp_path / name)
    with pytest.raises(RunError, match=f"^--audit {tmp_path / name}: "):
        entered(prepared(given, acceptable(given), run))


async def first_refusal(given):
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(started(given))


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"HTTPS_PROXY": "http://user:pw@proxy:3128", "GROYNE_ENVOY": "/nope"}, "HTTPS_PROXY already names a proxy"),
        ({"GROYNE_ENVOY": "/nope"}, "GROYNE_ENVOY names /nope"),
        ({"TMPDIR": "/nope"}, "set TMPDIR"),
    ],
)
def test_what_is_wrong_is_said_one_thing_at_a_time(policy, environ, said):
    with pytest.raises(RunError, match=said) as caught:
        asyncio.run(first_refusal(spec(policy, environ=environ)))
    assert "pw" not in str(caught.value)
    assert caught.value.exit_code == Exit.USAGE


def test_nothing_is_left_behind_where_envoy_does_not_start(policy, tmp_path):
    (tmp_path / "envoy").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "envoy").chmod(0o755)
    short = Path(f"/tmp/s-{os.getpid()}")  # noqa: S108 - sockets want short names
    short.mkdir(mode=0o700)
    try:
        with pytest.raises(RunError, match="ended with code 1"):
            asyncio.run(first_refusal(spec(policy, environ={"GROYNE_ENVOY": str(tmp_path / "envoy"), "TMPDIR": str(short)})))
        assert list(short.glob("groyne-*/run-*")) == []
    finally:
        for path in (*short.glob("groyne-*/*"), *short.glob("groyne-*"), short):
            path.rmdir() if path.is_dir() else path.unlink()
