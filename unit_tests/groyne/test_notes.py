"""What is right but leaves a credential readable: commands as sources, and keys that may travel in the clear."""

import pytest

from dataplane.compile import make_plan
from groyne.notes import NOTES, deep_name_notes, plain_http_notes, source_notes
from groyne.selections import every_selection
from unit_tests.groyne.written import read, reasons, secret
from unit_tests.policy.profiles import block, manifest, rule, token

SOURCE = "groyne.dev/value-from.apiKey"


def over_http(directory, *objects):
    found = read(directory, *objects)
    return [note for selection, _ in every_selection(found, {}) for note in plain_http_notes(found.manifests, selection)]


def key(name="key", **conditions):
    return rule(name, match=[{"domains": ["api.test"], **conditions}], tokenTransformation=token())


@pytest.mark.parametrize(("source", "noted"), [("exec:gh auth token", True), ("env:KEY", False), ("file:key", False)])
def test_only_a_command_leaves_its_store_readable(tmp_path, source, noted):
    notes = list(source_notes(read(tmp_path, secret(annotations={SOURCE: source})).manifests))
    assert reasons(notes) == (["SourceReachable"] if noted else [])


def test_the_note_stands_at_the_annotation_and_names_the_command_only(tmp_path):
    (note,) = source_notes(read(tmp_path, secret(annotations={SOURCE: "exec:op read op://dev/key"})).manifests)
    assert note.problem.field == f'metadata.annotations["{SOURCE}"]'
    assert "`op`" in note.problem.message
    assert "op://" not in note.problem.message
    assert not note.problem.fatal


def test_a_value_in_a_manifest_needs_no_note(tmp_path):
    assert list(source_notes(read(tmp_path, secret(apiKey="plain")).manifests)) == []


def test_a_rule_for_any_scheme_may_send_its_key_in_the_clear(tmp_path):
    (note,) = over_http(tmp_path, manifest(key()))
    assert (note.problem.reason, note.problem.field, note.problem.fatal) == ("CredentialOverPlainHttp", "spec.rules[0].match[0]", False)
    assert "schemes: [https]" in note.problem.message


@pytest.mark.parametrize("schemes", [["https"], ["http"], ["http", "https"]])
def test_a_rule_that_says_its_schemes_knows_what_it_does(tmp_path, schemes):
    assert over_http(tmp_path, manifest(key(schemes=schemes))) == []


def test_the_entry_that_does_not_say_is_named(tmp_path):
    two = rule(match=[{"domains": ["a.test"], "schemes": ["https"]}, {"domains": ["b.test"]}], tokenTransformation=token())
    assert [note.problem.field for note in over_http(tmp_path, manifest(two))] == ["spec.rules[0].match[1]"]


@pytest.mark.parametrize(
    ("conditions", "noted"),
    [
        ({"domains": ["*"], "schemes": ["http"]}, False),
        ({"domains": ["*.test"]}, False),
        ({"domains": ["*"], "schemes": ["https"]}, True),
        ({"domains": ["other.test"], "schemes": ["http"]}, True),
        ({"domains": ["*"], "schemes": ["http"], "ports": [8080]}, True),
        ({"domains": ["*"], "schemes": ["http"], "methods": ["POST"]}, True),
    ],
)
def test_an_earlier_block_of_plain_http_answers_the_question(tmp_path, conditions, noted):
    refusal = rule("no-http", match=[conditions], block=block())
    assert bool(over_http(tmp_path, manifest(refusal, key()))) is noted
    assert over_http(tmp_path, manifest(key(), refusal))


def test_the_block_of_another_profile_counts_where_it_holds_for_everybody(tmp_path):
    refusal = rule("no-http", match=[{"domains": ["*"], "schemes": ["http"]}], block=block())
    some = {"matchLabels": {"app": "x"}}
    assert over_http(tmp_path, manifest(refusal, name="a", priority=100), manifest(key(), name="b")) == []
    assert over_http(tmp_path, manifest(refusal, name="a", priority=100, selector=some), manifest(key(), name="b"))


def test_each_wildcard_that_is_looked_into_is_told_of_its_depth(tmp_path):
    """Once, however many rules need it; what stays end-to-end has its own certificate."""
    refusal = rule("no-delete", match=[{"domains": ["*.api.test"], "methods": ["DELETE"]}], block=block())
    unread = rule("no", ["*.other.test"], block=block())
    found = read(tmp_path, manifest(refusal, key(domains=["*.api.test", "api.test"]), unread), secret(apiKey="plain"))
    (note,) = deep_name_notes(found.manifests, make_plan(found.selection))
    assert (note.problem.reason, note.problem.field, note.problem.fatal) == ("DeepNamesUnreachable", "spec.rules[0]", False)
    assert "`*.api.test`" in note.problem.message
    assert "`*.x.api.test`" in note.problem.message


def test_the_examples_test_knows_every_note():
    assert frozenset({"SourceReachable", "CredentialOverPlainHttp", "DeepNamesUnreachable"}) == NOTES
