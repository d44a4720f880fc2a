"""Every namespace is judged as if all its profiles held, together with the Global ones."""

from groyne.selections import every_selection
from unit_tests.groyne.written import VALUE, read, reasons, secret
from unit_tests.policy.profiles import manifest, rule, token

KEY = rule(tokenTransformation=token())
GLOBAL = {"kind": "GlobalSecurityProfile", "name": "g", "priority": 1}


def chosen(workspace):
    return {
        selection.identity.namespace: [profile.ref.name for profile in selection.profiles]
        for selection, _ in every_selection(workspace, {})
    }


def test_one_selection_for_each_namespace(tmp_path):
    some = {"matchLabels": {"app": "x"}}
    objects = (manifest(name="a", namespace="a", selector=some), manifest(name="b", namespace="b"), manifest(**GLOBAL))
    assert chosen(read(tmp_path, *objects)) == {"a": ["g", "a"], "b": ["g", "b"]}


def test_global_profiles_alone_are_judged_in_the_default_namespace(tmp_path):
    assert chosen(read(tmp_path, manifest(**GLOBAL))) == {"default": ["g"]}


def test_a_global_reference_is_looked_for_in_every_namespace(tmp_path):
    found = read(
        tmp_path, manifest(KEY, **GLOBAL), manifest(name="a", namespace="a"), manifest(name="b", namespace="b"),
        secret(namespace="a", apiKey=VALUE),
    )  # fmt: skip
    missing = {selection.identity.namespace: reasons(credentials.problems) for selection, credentials in every_selection(found, {})}
    assert missing == {"a": [], "b": ["SecretNotFound"]}
