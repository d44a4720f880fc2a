"""A problem is placed at its rule, or, where the rule's file has changed meanwhile, at its profile's name."""

from crds import Problem
from groyne.at_rule import at_rule
from unit_tests.groyne.written import read, workspace
from unit_tests.policy.profiles import manifest, rule

PROBLEM = Problem(reason="R", message="m", field="match[0]", fatal=False)


def test_it_stands_in_the_profiles_file(tmp_path):
    found = workspace(tmp_path, rule("a"), rule("b"))
    placed = at_rule(found.manifests, found.selection.rules[1], PROBLEM)
    assert (placed.problem.field, placed.line, placed.name) == ("spec.rules[1].match[0]", 1, "p")
    assert placed.file.endswith("policy.yaml")


def test_without_a_field_the_rule_itself_is_meant(tmp_path):
    found = workspace(tmp_path, rule("a"))
    assert at_rule(found.manifests, found.selection.rules[0], Problem(reason="R", message="m")).problem.field == "spec.rules[0]"


def test_a_rule_whose_file_is_gone_is_named(tmp_path):
    before = workspace(tmp_path, rule("a"))
    after = read(tmp_path, manifest(name="other"))
    placed = at_rule(after.manifests, before.selection.rules[0], PROBLEM)
    assert (placed.file, placed.kind, placed.namespace, placed.name) == ("", "SecurityProfile", "default", "p")
