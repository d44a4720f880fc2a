"""`check` reports everything at once, fails where something must be mended, and says the same to programs."""

import json

import pytest

from groyne.check import check
from groyne.output import Exit, Output
from unit_tests.groyne.written import VALUE, secret, template, write
from unit_tests.policy.profiles import block, headers, manifest, rule, token

KEY = rule("key", match=[{"domains": ["api.test"], "schemes": ["https"]}], tokenTransformation=token())
FIELDS = {"file", "line", "column", "kind", "namespace", "name", "field", "reason", "message", "fatal", "severity"}


@pytest.fixture
def checked(tmp_path, capsys):
    """The exit code and the problems of one directory."""

    def check_all(*objects):
        write(tmp_path, *objects)
        code = check(tmp_path, Output.JSON)
        return code, json.loads(capsys.readouterr().out)

    return check_all


def reasons(found):
    return sorted(problem["reason"] for problem in found)


def test_what_is_fine_is_an_empty_list(checked):
    assert checked(manifest(KEY), secret(apiKey=VALUE)) == (Exit.OK, [])


def test_each_problem_has_all_fields(checked):
    code, found = checked(secret(apiKey=VALUE), manifest(rule("bad", match=[{"domains": ["a b"]}], block=block())))
    assert code is Exit.PROBLEMS
    (problem,) = found
    assert problem.keys() == FIELDS
    assert (problem["line"], problem["kind"], problem["namespace"], problem["name"]) == (3, "SecurityProfile", "default", "p")
    assert (problem["field"], problem["reason"], problem["fatal"]) == ("spec.rules[0].match[0].domains[0]", "InvalidDomain", True)


def test_a_missing_credential_fails_although_the_rule_stands(checked):
    code, found = checked(manifest(KEY))
    assert (code, reasons(found), found[0]["fatal"]) == (Exit.PROBLEMS, ["SecretNotFound"], False)


def test_credentials_are_judged_whoever_is_selected(checked):
    """No labels are given to check: profiles of every namespace and selector count."""
    selector = {"matchLabels": {"app": "x"}}
    code, found = checked(*(manifest(KEY, name=f"p-{space}", namespace=space, selector=selector) for space in ("a", "b")))
    assert (code, reasons(found)) == (Exit.PROBLEMS, ["SecretNotFound", "SecretNotFound"])


def test_notes_and_warnings_do_not_fail(checked):
    plain = rule("key", match=[{"domains": ["api.test"]}], tokenTransformation=token())
    code, found = checked(manifest(plain), secret(apiKey=VALUE))
    assert (code, reasons(found)) == (Exit.OK, ["CredentialOverPlainHttp"])


def test_a_source_is_asked_once_for_all_namespaces(checked, tmp_path):
    (tmp_path / "count").write_text(f"#!/bin/sh\necho asked >> {tmp_path}/asked\necho {VALUE}\n")
    (tmp_path / "count").chmod(0o755)
    shared = secret(annotations={"groyne.dev/value-from.apiKey": "exec:./count", "groyne.dev/grant-to": "*"})
    elsewhere = token()
    elsewhere["credentialRef"]["secret"]["namespace"] = "default"
    rules = rule("key", match=KEY["match"], tokenTransformation=elsewhere)
    code, found = checked(shared, *(manifest(rules, name=space, namespace=space) for space in ("a", "b", "c")))
    assert (code, reasons(found)) == (Exit.OK, ["SourceReachable"])
    assert (tmp_path / "asked").read_text().split() == ["asked"]


def test_what_no_certificate_can_name_is_said_at_its_rule(checked):
    code, found = checked(manifest(rule("stamp", headerManipulation=headers(a="1"))))
    assert (code, reasons(found)) == (Exit.OK, ["InterceptionUnavailable"])
    assert found[0]["field"] == "spec.rules[0]"


@pytest.mark.parametrize(
    ("objects", "reason"),
    [
        ((), "SecretNotFound"),
        ((secret("company", **{"tls.crt": "x"}),), "SecretKeyNotFound"),
        ((secret("company", **{"tls.crt": "x", "tls.key": "y"}),), "InvalidCa"),
    ],
)
@pytest.mark.parametrize("whose", [manifest, template], ids=["profile", "template"])
def test_a_ca_that_a_run_would_not_start_with_is_found_beforehand(checked, whose, objects, reason):
    code, found = checked(whose(annotations={"groyne.dev/ca-secret": "company"}), *objects)
    assert (code, reasons(found)) == (Exit.PROBLEMS, [reason])
    assert found[0]["field"] == 'metadata.annotations["groyne.dev/ca-secret"]'


def test_two_profiles_whose_order_matters_are_told_of_each_other(checked):
    api = [{"domains": ["api.test"]}]
    code, found = checked(manifest(rule(match=api, bypass=True), name="a"), manifest(rule(match=api, block=block()), name="b"))
    assert (code, reasons(found)) == (Exit.OK, ["OrderSensitive", "OrderSensitive"])


def test_text_is_one_line_a_problem_and_a_count(tmp_path, capsys):
    write(tmp_path, manifest(KEY, rule("bad", match=[{"domains": ["a b"]}], block=block())))
    code = check(tmp_path, Output.TEXT)
    out, err = capsys.readouterr()
    assert (code, out) == (Exit.PROBLEMS, "")
    *lines, count = err.splitlines()
    assert all(line.startswith(f"{tmp_path}/policy.yaml:1: ") for line in lines)
    assert count == "groyne: 1 profile, 1 file: 1 problem to mend, 0 notes"


def test_values_of_secrets_are_in_no_output(tmp_path, capsys):
    write(tmp_path, manifest(KEY), secret(apiKey=VALUE + "\n\n"))
    assert check(tmp_path, Output.TEXT) is Exit.PROBLEMS
    check(tmp_path, Output.JSON)
    assert VALUE not in "".join(capsys.readouterr())


GLOBAL_BLOCK = rule("no-delete", match=[{"domains": ["api.test"], "methods": ["DELETE"]}], block=block())
EVERYTHING = {"groyne.dev/passthrough-domains": "*"}


@pytest.mark.parametrize("whose", [manifest, template], ids=["profile", "template"])
def test_an_annotation_that_a_global_rule_overrules_is_told_so(checked, whose):
    everybodys = manifest(GLOBAL_BLOCK, name="all", kind="GlobalSecurityProfile", priority=1)
    code, found = checked(everybodys, whose(annotations=EVERYTHING))
    assert (code, reasons(found)) == (Exit.OK, ["PassthroughOverruled"])
    assert found[0]["field"] == 'metadata.annotations["groyne.dev/passthrough-domains"]'
    assert "`api.test`" in found[0]["message"]
    assert "`all/no-delete`" in found[0]["message"]


def test_a_rule_blinded_by_another_profiles_annotation_is_told_so(checked):
    everybodys = manifest(name="all", kind="GlobalSecurityProfile", priority=1, annotations=EVERYTHING)
    code, found = checked(everybodys, manifest(GLOBAL_BLOCK))
    assert (code, reasons(found), found[0]["name"]) == (Exit.OK, ["NotInspected"], "p")
