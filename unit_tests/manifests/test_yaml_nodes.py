"""Text to plain data: the whole of YAML that kubectl takes, with lines, limits and refusals."""

import pytest

from manifests import events, yaml_nodes
from manifests.json_nodes import read_json
from manifests.yaml_nodes import Budget, read_documents


@pytest.fixture(params=["c", "python"], autouse=True)
def parser(request, monkeypatch):
    """Everything holds with the C parser and with the pure one."""
    if request.param == "python":
        monkeypatch.setattr(events, "_c_parser", lambda: None)
    return request.param


def one(text: str):
    (document,) = read_documents(text, Budget())
    return document


def found(text: str) -> list[tuple[int, int, str]]:
    return [(each.line, each.column, each.problem.reason) for document in read_documents(text, Budget()) for each in document.mistakes]


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a: b", {"a": "b"}),
        ("{a: [1, 2.5, 'x', \"y\", ~]}", {"a": [1, 2.5, "x", "y", None]}),
        ("a: |\n  two\n  lines\nb: >-\n  folded\n  text\n", {"a": "two\nlines\n", "b": "folded text"}),
        ("? a\n: b", {"a": "b"}),
        ("a: b\r\nc: d\r\n", {"a": "b", "c": "d"}),
        ("1: a\n1.5: b\n0x10: d", {"1": "a", "1.5": "b", "16": "d"}),
        (
            "a: !!str 5\nb: ! 7\nc: !!int '5'\nd: !!float 2\ne: !!bool 'yes'\nf: !!null ''",
            {"a": "5", "b": "7", "c": 5, "d": 2.0, "e": True, "f": None},
        ),
        ("a: !!map {}\nb: !!seq []", {"a": {}, "b": []}),
        ("a: &x {b: 1}\nc: *x\n", {"a": {"b": 1}, "c": {"b": 1}}),
        ("&k a: *k", {"a": "a"}),
        ("a: &x 1\nb: &x 2\nc: *x", {"a": 1, "b": 2, "c": 2}),
        ("x: &x {a: 1, b: 2}\nw: {<<: *x, b: 3}", {"x": {"a": 1, "b": 2}, "w": {"b": 3, "a": 1}}),
        ("x: &x {a: 1}\nz: &z {a: 2, c: 3}\nw: {<<: [*x, *z]}", {"x": {"a": 1}, "z": {"a": 2, "c": 3}, "w": {"a": 1, "c": 3}}),
        ("'<<': {a: 1}", {"<<": {"a": 1}}),
        ("\ufeffa: b", {"a": "b"}),
        ("%YAML 1.1\n---\na: b", {"a": "b"}),
        ("# comment\n%TAG ! tag:x,2000:\n---\na: b", {"a": "b"}),
        ("a: b\n...\n", {"a": "b"}),
        ("--- {a: b}", {"a": "b"}),
        ('{"a": "b\\/c", "d": [1,\n2]}', {"a": "b/c", "d": [1, 2]}),
        ("{image: a.test/b:1}", {"image": "a.test/b:1"}),
        (
            "a: &x 1\nb: {c: *x, d: [http://a.test:80/b, c:d], e: b:, !!str f:g}",
            {
                "a": 1,
                "b": {"c": 1, "d": ["http://a.test:80/b", "c:d"], "e": "b:", "f:g": None},
            },
        ),
    ],
)
def test_plain_data_comes_out(text, data):
    """Anchors, merges, directives, tags of the core and both styles."""
    document = one(text)
    assert document.data == data
    assert document.mistakes == ()


def test_copies_of_an_alias_are_independent():
    """Changing one does not change the other."""
    data = one("a: &x {b: [1]}\nc: *x").data
    assert data["a"] is not data["c"]
    assert data["a"]["b"] is not data["c"]["b"]


@pytest.mark.parametrize("text", ["", "\n\n", "# only\n", "---\n---\n# x\n---\n", "null\n---\n~\n"])
def test_empty_documents_are_passed_over(text):
    """Nothing, comments and nulls are no documents."""
    assert list(read_documents(text, Budget())) == []


def test_documents_know_their_lines():
    """Each begins at its separator."""
    documents = read_documents("a: 1\n---\nb: 2\n--- # c\n\n---\nd: 4\n", Budget())
    assert [(document.line, document.data) for document in documents] == [(1, {"a": 1}), (2, {"b": 2}), (6, {"d": 4})]


def test_a_syntax_error_takes_only_its_own_document():
    """What stands before and after it is read."""
    documents = list(read_documents("a: 1\n---\nb: [\n---\nc: 3\n", Budget()))
    assert [document.data for document in documents] == [{"a": 1}, None, {"c": 3}]
    assert documents[1].refused


def test_three_dashes_inside_a_block_do_not_cut():
    """Only a line that begins with them does."""
    assert one("a: |\n  x\n  ---\n  y\n").data == {"a": "x\n---\ny\n"}
    assert one("a: ---b\n").data == {"a": "---b"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2\n", [(2, 1, "DuplicateKey")]),
        ("a: 1\n'a': 2\n", [(2, 1, "DuplicateKey")]),
        ("1: x\n'1': z\n", [(2, 1, "DuplicateKey")]),
        ("x:\n  - {b: 1, c: 2, b: 3}\n", [(2, 18, "DuplicateKey")]),
        ("a: yes\nb: 0777\nc: 'yes'\n", [(1, 4, "AmbiguousScalar"), (2, 4, "AmbiguousScalar")]),
        ("on: 1\n", [(1, 1, "AmbiguousScalar")]),
        ("defaultMode: 0644\n", []),
        ("a: !x b", [(1, 4, "CustomTag")]),
        ("a: !!python/name:os.system b", [(1, 4, "CustomTag")]),
        ("a: !!timestamp 2026-01-01", [(1, 4, "CustomTag")]),
        ("a: !x [b]", [(1, 4, "CustomTag")]),
        ("a: !!int x", [(1, 4, "InvalidType")]),
        ("a: *b", [(1, 4, "UnknownAlias")]),
        ("a: &b [*b]", [(1, 8, "UnknownAlias")]),
        ("a: .nan", [(1, 4, "InvalidValue")]),
        ("[a]: b", [(1, 1, "SyntaxError")]),
        ("~: b", [(1, 1, "SyntaxError")]),
        ("<<: 3", [(1, 1, "SyntaxError")]),
        ("a: 1\n---\n\nb: \x07", [(4, 4, "SyntaxError")]),
        ("a: 1\n---\nb: {c: d:1,\n  e: yes,\n  c: 2}", [(4, 6, "AmbiguousScalar"), (5, 3, "DuplicateKey")]),
        ("a: {b: c:d,\n  e: @f}", [(2, 6, "SyntaxError")]),
    ],
)
def test_mistakes_have_their_place(text, expected):
    """Line and column of what is wrong, also below a separator."""
    assert found(text) == expected


def test_the_first_of_two_equal_keys_is_kept_for_the_other_checks():
    """A refused document still says what it is."""
    assert one("kind: A\nkind: B").data == {"kind": "A"}
    assert one("kind: A\nkind: B").refused


def test_what_is_merged_in_is_no_duplicate():
    """A key of one's own wins over a merged one, in any order."""
    assert one("x: &x {a: 1}\nw: {a: 2, <<: *x}").data["w"] == {"a": 2}


@pytest.mark.parametrize("levels", [yaml_nodes.MAX_DEPTH - 1, yaml_nodes.MAX_DEPTH + 1])
def test_depth_has_a_limit(levels):
    """Sixty-four levels are enough for any object."""
    deep = "[" * levels + "x" + "]" * levels
    assert bool(found(deep)) is (levels > yaml_nodes.MAX_DEPTH)


def test_depth_counts_through_aliases():
    """Anchors do not stack levels upon levels."""
    text = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 80))
    assert [reason for _, _, reason in found(text)] == ["TooDeep"]


def test_the_budget_ends_the_reading():
    """It holds over all texts together, and the last document says why."""
    budget = Budget(nodes=10)
    assert [bool(document.mistakes) for document in read_documents("[1, 2, 3]\n---\n[1, 2, 3, 4, 5, 6, 7]\n---\na: b", budget)] == [
        False,
        True,
    ]
    assert budget.exhausted


def test_documents_are_counted():
    """One more than allowed is refused at its line."""
    budget = Budget(documents=2)
    assert [(each.line, bool(each.mistakes)) for each in read_documents("a: 1\n---\na: 2\n---\na: 3\n---\na: 4", budget)] == [
        (1, False),
        (2, False),
        (4, True),
    ]


def test_messages_never_quote_tags_anchors_or_values():
    """An unquoted password may begin with any of these characters."""
    for start in "!&*@%`|>\"'[{":
        for document in read_documents(f"a: {start}hunter2\nb: {start}hunter2: *hunter2", Budget()):
            assert all("hunter2" not in each.problem.message for each in document.mistakes)


@pytest.mark.parametrize("rest", ["", "}", "]", "'", '"', "\n- a", ", }: x", "\n'"])
def test_refusals_of_the_syntax_are_plain(rest):
    """What is said never holds the parser's own words for what it found, nor the text."""
    (mistake,) = one("a: {b: c:d, e: 'hunter2' hunter2" + rest).mistakes
    assert mistake.problem.reason == "SyntaxError"
    assert not any(word in mistake.problem.message for word in ("hunter2", "<", "found"))


@pytest.mark.parametrize("field", ["data", "stringData"])
@pytest.mark.parametrize(
    "text",
    [
        "{hunter2, hunter2}",
        '{"hunter2/", "hunter2/"}',
        "{'hunter2/': yes}",
        "{a: {hunter2: yes}}",
        "{'hunter2/': !x y}",
        "{'hunter2/': *x}",
    ],
)
def test_nothing_below_data_is_quoted_that_may_be_a_value(field, text):
    """A value in the place of a key is in no message and no path; its line is still exact."""
    found = [each for document in read_documents(f"kind: Secret\n{field}:\n  {text}", Budget()) for each in document.mistakes]
    assert [each.line for each in found] == [3]
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ('{"a": "\\ud83d\\ude00"}', [{"a": "😀"}]),
        ('{"a": 1}{"b": 1.0}\n{"c": 1e2}', [{"a": 1}, {"b": 1}, {"c": 100}]),
        ('\n\t{"a":\n\t"yes"}', [{"a": "yes"}]),
        ("", []),
    ],
)
def test_json_is_read_as_json(text, data):
    """Surrogates, tabs, several objects."""
    documents = list(read_json(text, Budget()))
    assert [document.data for document in documents] == data
    assert not any(document.mistakes for document in documents)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1,\n "a": 2}', [(2, 2, "DuplicateKey")]),
        ('{"x": 1}\n{"a": 1,\n "a": 2}', [(3, 2, "DuplicateKey")]),
        ('{"a": 1}\n{"a": }', [(2, 7, "SyntaxError")]),
        ('{"a": 1,}', [(1, 9, "SyntaxError")]),
        ("a: b", [(1, 1, "SyntaxError")]),
        ('{"a": ' + "9" * 5000 + "}", [(1, 1, "InvalidValue")]),
    ],
)
def test_mistakes_in_json_have_their_place(text, expected):
    """Duplicates are found where YAML can read the text too, and reported at the object's start where it cannot."""
    assert [
        (each.line, each.column, each.problem.reason) for document in read_json(text, Budget()) for each in document.mistakes
    ] == expected


def test_duplicates_in_json_that_is_no_yaml_are_reported_too(parser):
    """At the object's start, where libyaml does not take pairs of surrogates."""
    (document,) = read_json('{"a": "\\ud83d\\ude00",\n "a": 2}', Budget())
    (mistake,) = document.mistakes
    assert mistake.problem.reason == "DuplicateKey"
    assert mistake.line == (1 if parser == "c" else 2)
