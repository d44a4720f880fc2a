"""What ext-proc is told: what is in force, and of Secrets only what rules may use."""

import base64
import json

from groyne.feed import feed
from manifests.load import load
from unit_tests.groyne.written import VALUE, read, secret, write
from unit_tests.policy.profiles import block, headers, manifest, rule, token

KEYED = rule("key", match=[{"domains": ["api.test"]}], tokenTransformation=token())


def items(workspace, kind):
    return [item for item in json.loads(feed(workspace))["items"] if item["kind"] == kind]


def again(before, directory):
    return read(directory, last_good=before.good, last_sources=before.sources)


def test_it_reads_as_manifests(tmp_path):
    """ext-proc reads it with the loader that reads users' files."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "limits"}, "data": {"team": "harbour"}}
    found = read(tmp_path, manifest(KEYED), secret(apiKey=VALUE), config)
    (tmp_path / "objects.json").write_text(feed(found))
    loaded = load(tmp_path / "objects.json")
    assert loaded.problems == ()
    assert [*loaded.profiles] == [("default", "p")]
    assert loaded.secrets["default", "openai"].object.values == {"apiKey": VALUE.encode()}
    assert loaded.config_maps["default", "limits"].object.data == {"team": "harbour"}


def test_a_profile_that_an_edit_broke_is_there_as_it_was(tmp_path):
    """Also after a second broken edit, and when its file is no YAML any more."""
    good = manifest(rule("closed", block=block()))
    first = read(tmp_path, good)
    write(tmp_path, manifest(rule("closed", block=block(150))))
    second = again(first, tmp_path)
    assert second.broken
    assert items(second, "SecurityProfile") == [good]
    (tmp_path / "policy.yaml").write_text("kind: SecurityProfile\n  broken")
    assert items(again(second, tmp_path), "SecurityProfile") == [good]


def test_what_an_edit_mended_or_removed_is_there_as_it_is(tmp_path):
    first = read(tmp_path, manifest(rule("closed", block=block())), manifest(KEYED, name="other"))
    mended = manifest(rule("open", headerManipulation=headers("x-a")))
    write(tmp_path, mended)
    assert items(again(first, tmp_path), "SecurityProfile") == [mended]


def test_the_value_of_a_source_is_there_and_not_the_source(tmp_path):
    """ext-proc runs no commands, and knows nothing of this environment."""
    named = secret(annotations={"groyne.dev/value-from.apiKey": "env:KEY", "groyne.dev/allowed-hosts": "api.test"})
    [found] = items(read(tmp_path, manifest(KEYED), named, environ={"KEY": VALUE}), "Secret")
    assert found["metadata"]["annotations"] == {"groyne.dev/allowed-hosts": "api.test"}
    assert base64.b64decode(found["data"]["apiKey"]) == VALUE.encode()


def test_secrets_that_no_rule_may_use_are_not_there(tmp_path):
    """Unused, pinned to another host, or without a value."""
    unused = secret("unused", apiKey="sk-unused")
    pinned = secret(annotations={"groyne.dev/allowed-hosts": "elsewhere.test"}, apiKey=VALUE)
    assert items(read(tmp_path, manifest(KEYED), unused, pinned), "Secret") == []
