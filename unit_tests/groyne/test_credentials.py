"""Which values a selection may use: sources, grants, pins, and references that are withheld."""

import pytest

from policy.program import SecretKeyRef
from unit_tests.groyne.written import VALUE, read, reasons, secret, workspace, write
from unit_tests.policy.profiles import KEY, manifest, rule, token

USES = rule(domains=["api.test"], tokenTransformation=token())


def test_a_value_is_found_under_its_resolved_reference(tmp_path):
    found = workspace(tmp_path, USES).credentials
    assert found.values == {KEY: VALUE}
    assert found.by_name == {"default/openai[apiKey]": VALUE}
    assert found.names == {"default/p/r": "default/openai[apiKey]"}
    assert found.problems == ()


@pytest.mark.parametrize(
    ("objects", "reason"),
    [
        ((), "SecretNotFound"),
        ((secret(other="x"),), "SecretKeyNotFound"),
        ((secret(apiKey="a\nb"),), "InvalidCredential"),
        ((secret(apiKey=""),), "InvalidCredential"),
        ((secret(namespace="elsewhere", apiKey=VALUE),), "SecretNotFound"),
        ((secret(annotations={"groyne.dev/allowed-hosts": "other.test"}, apiKey=VALUE),), "HostNotAllowed"),
    ],
)
def test_what_cannot_be_used_is_withheld_with_a_located_reason(tmp_path, objects, reason):
    found = read(tmp_path, manifest(USES), *objects)
    (problem,) = found.credentials.problems
    assert problem.problem.reason == reason
    assert problem.problem.field == "spec.rules[0].actions.tokenTransformation.credentialRef"
    assert not problem.problem.fatal
    assert (problem.kind, problem.name) == ("SecurityProfile", "p")
    assert not found.credentials.values
    assert found.selection.rules[0].token.secret.withheld
    assert "a\nb" not in str(problem)


def test_a_pin_of_the_host_lets_the_value_go(tmp_path):
    pinned = secret(annotations={"groyne.dev/allowed-hosts": "*.test"}, apiKey=VALUE)
    assert read(tmp_path, manifest(USES), pinned).credentials.values == {KEY: VALUE}


def test_one_rule_may_be_refused_what_another_may_have(tmp_path):
    pinned = secret(annotations={"groyne.dev/allowed-hosts": "api.test"}, apiKey=VALUE)
    leak = rule("leak", domains=["evil.test"], tokenTransformation=token())
    found = read(tmp_path, manifest(USES, leak), pinned)
    assert [each.token.secret.withheld for each in found.selection.rules] == [False, True]
    assert found.credentials.values == {KEY: VALUE}


OTHER = SecretKeyRef(namespace="vault", name="openai", key="apiKey")


def across(annotations):
    elsewhere = token()
    elsewhere["credentialRef"]["secret"]["namespace"] = "vault"
    return manifest(rule(tokenTransformation=elsewhere)), secret(namespace="vault", annotations=annotations, apiKey=VALUE)


def test_another_namespaces_secret_needs_its_owners_grant(tmp_path):
    found = read(tmp_path, *across({}))
    assert reasons(found.credentials.problems) == ["RefNotGranted"]
    assert not found.credentials.values


@pytest.mark.parametrize("grant", ["default", "a, default", "*"])
def test_a_grant_lets_it_go(tmp_path, grant):
    assert read(tmp_path, *across({"groyne.dev/grant-to": grant})).credentials.values == {OTHER: VALUE}


def test_a_global_profile_reads_the_pods_namespace(tmp_path):
    profile = manifest(rule(tokenTransformation=token()), kind="GlobalSecurityProfile")
    found = read(tmp_path, profile, secret(namespace="team", apiKey=VALUE), namespace="team")
    assert list(found.credentials.values) == [SecretKeyRef(namespace="team", name="openai", key="apiKey")]


def test_a_value_comes_from_the_environment_a_file_or_a_command(tmp_path):
    (tmp_path / "key").write_text("from-a-file\n")
    sources = {"env": "env:KEY", "file": "file:key", "exec": "exec:printf from-a-command"}
    secrets = [secret(name, annotations={"groyne.dev/value-from.apiKey": source}) for name, source in sources.items()]
    rules = [rule(name, tokenTransformation=token(name)) for name in sources]
    found = read(tmp_path, manifest(*rules), *secrets, environ={"KEY": "from-the-environment", "PATH": "/usr/bin:/bin"}).credentials
    assert sorted(found.values.values()) == ["from-a-command", "from-a-file", "from-the-environment"]


def test_a_source_wins_over_the_manifest_and_its_failure_is_no_way_back(tmp_path):
    named = secret(annotations={"groyne.dev/value-from.apiKey": "env:NOT_SET"}, apiKey=VALUE)
    found = read(tmp_path, manifest(USES), named).credentials
    assert reasons(found.problems) == ["SourceUnavailable"]
    assert not found.values


def test_a_command_is_run_once_however_many_rules_use_it(tmp_path):
    (tmp_path / "count").write_text(f"#!/bin/sh\necho asked >> {tmp_path}/asked\necho {VALUE}\n")
    (tmp_path / "count").chmod(0o755)
    source = secret(annotations={"groyne.dev/value-from.apiKey": "exec:./count"})
    rules = [rule(name, tokenTransformation=token()) for name in ("a", "b", "c")]
    read(tmp_path, manifest(*rules), source, environ={"PATH": "/usr/bin:/bin"})
    assert (tmp_path / "asked").read_text().split() == ["asked"]


def test_credentials_of_profiles_that_do_not_apply_are_scrubbed_all_the_same(tmp_path):
    profile = manifest(USES, selector={"matchLabels": {"app": "other"}})
    found = read(tmp_path, profile, secret(apiKey=VALUE)).credentials
    assert not found.values
    assert found.by_name == {"default/openai[apiKey]": VALUE}


def test_files_with_values_are_known_so_that_they_can_be_hidden(tmp_path):
    (tmp_path / "key").write_text("x")
    plain = write(tmp_path, secret(apiKey=VALUE), file="plain.json")
    write(tmp_path, secret("b", annotations={"groyne.dev/value-from.apiKey": "file:key"}), file="b.json")
    write(tmp_path, secret("c", annotations={"groyne.dev/value-from.apiKey": "env:KEY"}), file="c.json")
    write(tmp_path, manifest(USES), file="profile.json")
    assert set(read(tmp_path).credentials.files) == {plain, tmp_path / "key"}
