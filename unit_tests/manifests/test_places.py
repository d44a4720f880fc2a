"""A field's place in its text, or that of the nearest thing around it."""

import pytest

from crds.paths import split
from manifests.json_nodes import read_json
from manifests.places import place_of
from manifests.yaml_nodes import Budget, read_documents

TEXT = """\
# one
a: 1
---
# two
base: &base
  shared: {x: 1}
metadata:
  annotations:
    groyne.dev/ca-secret: key
    "plain": other
spec:
  <<: *base
  rules:
  - name: one
    match: [{domains: [a.test, b.test]}]
  -
    name: two
  copy: *base
  yes: 1
"""


@pytest.mark.parametrize(
    ("field", "place"),
    [
        ("", (5, 1)),
        ("spec", (11, 1)),
        ("spec.rules", (13, 3)),
        ("spec.rules[0]", (14, 5)),
        ("spec.rules[0].name", (14, 5)),
        ("spec.rules[0].match[0].domains[1]", (15, 32)),
        ("spec.rules[1].name", (17, 5)),
        ("spec.rules[1].match[0].domains", (17, 5)),
        ("spec.rules[7]", (13, 3)),
        ("spec.selector", (11, 1)),
        ('metadata.annotations["groyne.dev/ca-secret"]', (9, 5)),
        ("metadata.annotations.plain", (10, 5)),
        ("spec.shared.x", (6, 12)),
        ("spec.copy.shared.x", (6, 12)),
        ("spec.copy", (18, 3)),
        ("spec.true", (19, 3)),
        ("nothing.here", (5, 1)),
        ("a.b", (5, 1)),
        ("metadata.annotations[1]", (10, 5)),
        ("metadata.annotations[2]", (8, 3)),
    ],
)
def test_a_field_has_the_place_of_its_key(field, place):
    """Keys, entries, aliases, merged keys, keys by number; what is missing is shown at its parent."""
    document = list(read_documents(TEXT, Budget()))[1]
    assert place_of(document, split(field)) == place


def test_json_has_places_too():
    """One line a key."""
    (document,) = read_json('\n{\n  "a": 1,\n  "b": {"c": [1,\n 2]}}', Budget())
    assert place_of(document, ("b", "c", 1)) == (5, 2)


def test_json_that_is_no_yaml_is_placed_at_its_start():
    """Pairs of surrogates mean nothing in YAML."""
    (document,) = read_json('\n\n {"a": "\\ud83d\\ude00", "b": 1}', Budget())
    assert place_of(document, ("b",)) == (3, 2)
