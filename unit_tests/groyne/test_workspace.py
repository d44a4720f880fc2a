"""A directory as one policy: who is judged, what stays in force when a file breaks, and what is said where nothing applies."""

import pytest

from groyne.workspace import Who, nothing_holds
from unit_tests.groyne.written import VALUE, read, reasons, secret, template, workspace, write
from unit_tests.policy.profiles import block, manifest, rule, token

APP = {"matchLabels": {"app": "web"}}
BROKEN = rule(match=[{"domains": ["h.test"], "paths": [{"type": "Regex", "value": "("}]}], block=block())


def selected(found):
    return [profile.ref.name for profile in found.selection.profiles]


def test_profiles_are_chosen_by_namespace_and_labels(tmp_path):
    objects = [
        manifest(name="all"), manifest(name="web", selector=APP), manifest(name="elsewhere", namespace="other"),
        manifest(name="global", kind="GlobalSecurityProfile", priority=1),
    ]  # fmt: skip
    assert selected(read(tmp_path, *objects)) == ["global", "all"]
    assert selected(read(tmp_path, labels={"app": "web"})) == ["global", "all", "web"]
    assert selected(read(tmp_path, namespace="other")) == ["global", "elsewhere"]


def test_a_template_judges_as_its_pods(tmp_path):
    objects = [manifest(name="web", selector=APP, namespace="team"), template(namespace="team", labels={"app": "web"})]
    assert selected(read(tmp_path, *objects, template="team/agents")) == ["web"]
    assert selected(read(tmp_path, template="agents", namespace="team")) == ["web"]


def test_a_template_that_is_not_there_is_an_error_that_names_those_that_are(tmp_path):
    found = read(tmp_path, manifest(), template(), template="agnets")
    assert reasons(found.problems) == ["TemplateNotFound"]
    assert found.broken
    assert "default/agents" in found.problems[0].problem.message


def test_a_templates_own_passthrough_hosts_are_read_as_host_patterns_are(tmp_path):
    annotations = {"groyne.dev/passthrough-domains": "*.Bank.Example., [2001:DB8::1]"}
    found = read(tmp_path, manifest(), template(annotations=annotations), template="agents")
    assert [host.text for host in found.template_passthrough] == ["*.bank.example", "2001:db8::1"]
    assert read(tmp_path).template_passthrough == ()


def test_a_profile_that_stops_compiling_keeps_its_last_good_version(tmp_path):
    before = workspace(tmp_path, rule("good", block=block()))
    after = workspace(tmp_path, BROKEN, last_good=before.good)
    assert [each.name for each in after.selection.rules] == ["good"]
    assert after.broken
    assert after.good == before.good


def test_a_profile_that_stops_parsing_keeps_its_last_good_version(tmp_path):
    before = workspace(tmp_path, rule("good", block=block()))
    after = read(tmp_path, {**manifest(), "spec": {"rulez": []}}, secret(apiKey=VALUE), last_good=before.good)
    assert [each.name for each in after.selection.rules] == ["good"]


def test_a_file_that_cannot_be_read_at_all_takes_no_profile_away(tmp_path):
    before = workspace(tmp_path, rule("good", block=block()))
    (tmp_path / "policy.yaml").write_text("a: [")
    after = read(tmp_path, last_good=before.good)
    assert [each.name for each in after.selection.rules] == ["good"]
    assert after.broken


@pytest.mark.parametrize("slip", [{"kind": "SecurityProfle"}, {"kind": 1}, {"metadata": {}}, {"metadata": None}])
def test_a_slip_in_what_says_which_profile_it_is_takes_none_away(tmp_path, slip):
    before = workspace(tmp_path, rule("good", block=block()))
    after = read(tmp_path, {**manifest(rule("good", block=block())), **slip}, last_good=before.good)
    assert [each.name for each in after.selection.rules] == ["good"]
    assert after.broken


def test_a_profile_that_is_deleted_is_gone(tmp_path):
    before = read(tmp_path, manifest(name="a"), manifest(name="b"))
    (tmp_path / "policy.yaml").unlink()
    after = read(tmp_path, manifest(name="b"), last_good=before.good)
    assert selected(after) == ["b"]


def test_a_kept_version_stands_in_its_place_in_the_order(tmp_path):
    before = read(tmp_path, manifest(rule("a"), name="a"), manifest(rule("b"), name="b"))
    after = read(tmp_path, {**manifest(name="a"), "spec": 1}, manifest(rule("b"), name="b"), last_good=before.good)
    assert selected(after) == ["a", "b"]


def test_a_credential_is_never_kept(tmp_path):
    before = workspace(tmp_path, rule(tokenTransformation=token()))
    after = workspace(tmp_path, rule(tokenTransformation=token()), key=False, last_good=before.good)
    assert before.credentials.values
    assert not after.credentials.values
    assert reasons(after.problems) == ["SecretNotFound"]
    assert not after.broken


def test_problems_come_in_the_order_of_files_and_lines_and_once(tmp_path):
    write(tmp_path, manifest(BROKEN, name="b"), file="b.json")
    write(tmp_path, manifest(BROKEN, name="a"), file="a.json")
    found = read(tmp_path)
    assert [located.file.rpartition("/")[2] for located in found.problems] == ["a.json", "b.json"]


def test_no_value_shows_up_when_a_workspace_is_printed(tmp_path):
    found = workspace(tmp_path, rule(tokenTransformation=token()))
    assert found.credentials.values
    assert VALUE not in repr(found)


def test_where_nothing_applies_the_user_hears_of_it(tmp_path):
    found = read(tmp_path, manifest(selector=APP))
    assert "labels none in namespace default" in nothing_holds(found, Who())
    assert "labels a=b in namespace x" in nothing_holds(found, Who(namespace="x", labels=(("a", "b"),)))
    assert "SandboxTemplate t" in nothing_holds(found, Who(template="t"))
    assert nothing_holds(read(tmp_path, labels={"app": "web"}), Who()) == ""


def test_a_config_map_that_is_not_there_is_a_warning_at_the_input_that_names_it(tmp_path):
    asks = manifest(rule(), inputs=[{"name": "hook", "configMap": {"name": "audit"}}])
    (located,) = read(tmp_path, asks).problems
    assert (located.problem.reason, located.problem.field, located.problem.fatal) == (
        "ConfigMapNotFound",
        "spec.inputs[0].configMap",
        False,
    )
    there = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "audit", "namespace": "default"}, "data": {"url": "x"}}
    assert not read(tmp_path, asks, there).problems
