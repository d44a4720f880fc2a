"""From directories to objects: what counts as a manifest, what is passed over, names, lists, indexes, and silence about values."""

import json
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crds import GlobalSecurityProfile, Problem, SandboxTemplate
from manifests import files
from manifests.load import load

PROFILE = "apiVersion: agents.kruise.io/v1alpha1\nkind: SecurityProfile\nmetadata: {{name: {name}}}\nspec: {{selector: {{}}}}\n"
VALUE = "sk-hunter2-hunter2"


def profile(name: str) -> str:
    return PROFILE.format(name=name)


def write(directory: Path, **texts: str) -> None:
    for name, text in texts.items():
        (directory / f"{name}.yaml").write_text(text)


def reasons(manifests) -> list[str]:
    return [located.problem.reason for located in manifests.problems]


def test_every_kind_is_indexed_by_namespace_and_name(tmp_path):
    """Namespaced kinds without a namespace are in `default`, cluster-wide ones in none."""
    write(
        tmp_path,
        profiles=profile("one")
        + "---\n"
        + profile("two, namespace: team")
        + "---\n"
        + profile("all").replace("Security", "GlobalSecurity"),
        core="apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData: {apiKey: x}\n---\n"
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: values}\ndata: {a: b}\n",
        template="apiVersion: extensions.agents.x-k8s.io/v1alpha1\nkind: SandboxTemplate\nmetadata: {name: agent}\n"
        "spec: {podTemplate: {spec: {containers: [{name: agent, image: agent}]}}}\n",
    )
    manifests = load(tmp_path)
    assert manifests.problems == ()
    assert set(manifests.profiles) == {("default", "one"), ("team", "two"), ("", "all")}
    assert isinstance(manifests.profiles["", "all"].object, GlobalSecurityProfile)
    assert isinstance(manifests.templates["default", "agent"].object, SandboxTemplate)
    assert manifests.secrets["default", "key"].object.values == {"apiKey": b"x"}
    assert manifests.config_maps["default", "values"].object.data == {"a": "b"}
    assert len(manifests.objects) == 6
    assert not manifests.broken


def test_directories_are_read_to_the_bottom_in_order_of_names(tmp_path):
    """Subdirectories count; hidden ones, `node_modules` and other extensions do not."""
    for place in ("b/c", ".git", "node_modules/x", "a"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "b/c/one.yml").write_text(profile("one"))
    (tmp_path / "a/two.YAML").write_text(profile("two"))
    for name in (".git/x.yaml", "node_modules/x/x.yaml", ".hidden.yaml", "README.md", "values.yaml~"):
        (tmp_path / name).write_text("not: [closed")
    (tmp_path / "z.json").write_text(json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "three"}}))
    manifests = load(tmp_path)
    assert manifests.problems == ()
    assert [loaded.name for loaded in manifests.objects] == ["two", "one", "three"]
    assert manifests.files == tuple(str(tmp_path / name) for name in ("a/two.YAML", "b/c/one.yml", "z.json"))


def test_a_single_file_is_read_whatever_its_name(tmp_path):
    """A file may be named directly."""
    (tmp_path / "policy").write_text(profile("one"))
    assert list(load(tmp_path / "policy").profiles) == [("default", "one")]


def test_mounted_config_maps_are_read_once(tmp_path):
    """Links to files below a hidden directory, as the kubelet makes them, are followed."""
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026/one.yaml").write_text(profile("one"))
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "one.yaml").symlink_to("..data/one.yaml")
    manifests = load(tmp_path)
    assert list(manifests.profiles) == [("default", "one")]
    assert manifests.problems == ()


def test_links_to_directories_are_named_and_not_followed(tmp_path):
    """Neither a loop nor a link to the whole disk is walked."""
    write(tmp_path, one=profile("one"))
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "root").symlink_to("/")
    manifests = load(tmp_path)
    assert reasons(manifests) == ["LinkSkipped", "LinkSkipped"]
    assert not manifests.broken
    assert len(manifests.objects) == 1


def test_a_kustomization_is_no_manifest(tmp_path):
    """It is passed over with the remedy, and is nobody's mistake."""
    write(tmp_path, kustomization="resources: [one.yaml]\n", one=profile("one"))
    manifests = load(tmp_path)
    assert reasons(manifests) == ["KustomizationSkipped"]
    assert manifests.problems[0].severity == "info"
    assert not manifests.broken


@pytest.mark.parametrize("make", [lambda _: None, lambda path: path.mkdir(), lambda path: path.symlink_to("nowhere")])
def test_a_directory_without_manifests_is_a_mistake(make, tmp_path):
    """Missing, empty, or a dead link: probably the wrong name, and without rules everything would pass."""
    make(tmp_path / "dir")
    manifests = load(tmp_path / "dir")
    assert manifests.broken
    assert reasons(manifests)[0] in {"NotFound", "NoManifests"}


def test_a_name_that_no_file_can_have_is_a_problem():
    """A NUL in the path does not raise."""
    assert reasons(load(Path("a\0b"))) == ["Unreadable"]


def test_too_many_files_are_refused_before_they_are_read(tmp_path, monkeypatch):
    """The limit holds for the whole tree and is reported once."""
    monkeypatch.setattr(files, "MAX_FILES", 3)
    (tmp_path / "below").mkdir()
    write(tmp_path / "below", **{f"f{index}": profile(f"p{index}") for index in range(9)})
    write(tmp_path, z=profile("z"))
    assert reasons(load(tmp_path)).count("TooManyFiles") == 1


def test_all_files_together_have_a_limit(tmp_path, monkeypatch):
    """What goes beyond it is named."""
    monkeypatch.setattr(files, "MAX_TOTAL", 150)
    write(tmp_path, a=profile("one"), b=profile("two"))
    manifests = load(tmp_path)
    assert list(manifests.profiles) == [("default", "one")]
    assert reasons(manifests) == ["FileTooLarge"]


def test_other_peoples_kinds_are_named_and_passed_over(tmp_path):
    """A Deployment is information; its duplicate keys stop nothing of ours, its odd words are not talked about."""
    write(
        tmp_path,
        deployment="apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec:\n  paused: no\n  replicas: 1\n  replicas: 2\n",
        one=profile("one"),
    )
    manifests = load(tmp_path)
    assert [(located.problem.reason, located.severity) for located in manifests.problems] == [
        ("UnknownKind", "info"),
        ("DuplicateKey", "warning"),
    ]
    assert not manifests.broken


def test_lists_are_taken_apart_and_keep_their_lines(tmp_path):
    """`kind: List`, lists in lists and typed lists; a mistake in an item has the item's line and name."""
    text = (
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items:\n"
        "  - {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n"
        "- apiVersion: agents.kruise.io/v1alpha1\n  kind: SecurityProfileList\n  items:\n"
        "  - metadata: {name: b}\n    spec: {selector: {}}\n"
        "  - metadata: {name: c}\n    spec:\n      selector: {}\n      priority: -1\n"
    )
    write(tmp_path, all=text)
    manifests = load(tmp_path)
    assert {(loaded.kind, loaded.name) for loaded in manifests.objects} == {("ConfigMap", "a"), ("SecurityProfile", "b")}
    (located,) = manifests.problems
    assert (located.line, located.kind, located.namespace, located.name, located.problem.field) == (
        16,
        "SecurityProfile",
        "default",
        "c",
        "spec.priority",
    )


def test_a_later_problem_finds_its_line(tmp_path):
    """What policy finds wrong in an object is located like everything else."""
    write(
        tmp_path,
        one="# a comment\n---\n" + profile("zero") + "---\n" + profile("one").replace("{selector: {}}", "\n  selector: {}\n  rules: []"),
    )
    loaded = load(tmp_path).profiles["default", "one"]
    assert loaded.locate(Problem(reason="X", message="x", field="spec.rules[3].match")).line == 13
    assert loaded.source.line == 8


def test_duplicates_name_the_first_ones_place(tmp_path):
    """The second object is refused, wherever the first is; the same name in another namespace is another object."""
    write(tmp_path, a=profile("one"), b=profile("other") + "---\n" + profile("one"), c=profile("one, namespace: team"))
    manifests = load(tmp_path)
    (located,) = manifests.problems
    assert (Path(located.file).name, located.line, located.problem.reason) == ("b.yaml", 8, "DuplicateObject")
    assert "a.yaml:1" in located.problem.message
    assert set(manifests.profiles) == {("default", "one"), ("default", "other"), ("team", "one")}


def test_json_and_text_say_the_same(tmp_path):
    """The forms that tools and people read."""
    write(tmp_path, a=profile("one").replace("selector", "selectr"))
    located = load(tmp_path).problems[-1]
    path = str(tmp_path / "a.yaml")
    assert located.as_json() == {
        "file": path,
        "line": 4,
        "column": 8,
        "kind": "SecurityProfile",
        "namespace": "default",
        "name": "one",
        "field": "spec.selectr",
        "reason": "UnknownField",
        "message": "`selectr` is not a field here: did you mean `selector`?",
        "fatal": True,
        "severity": "error",
    }
    message = "`selectr` is not a field here: did you mean `selector`?"
    assert str(located) == f"{path}:4: error: SecurityProfile default/one spec.selectr: {message} [UnknownField]"


def test_progress_is_told_from_nothing_to_all(tmp_path):
    """The callback sees every file once and the end."""
    write(tmp_path, a=profile("a"), b=profile("b"))
    seen: list[tuple[int, int]] = []
    load(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize(
    "body",
    [
        f"data: {{apiKey: '{VALUE}!'}}",
        f"stringData: {{apiKey: [{VALUE}]}}",
        f"stringData: {{apiKey: {{{VALUE}: 1}}}}",
        f"stringData: '{VALUE}'",
        f"stringData: [{VALUE}]",
        f"data: {VALUE}",
        f"stringData: {{apiKey: !{VALUE} x}}",
        f"stringData: {{apiKey: *{VALUE}}}",
        f"stringData: {{apiKey: @{VALUE}}}",
        f"stringData: {{apiKey: '{VALUE}}}",
        f"stringData: {{apiKey: {VALUE}: x}}",
        f'stringData: {{apiKey: "\\{VALUE}"}}',
        f"stringData: {{a: '{VALUE}', a: '{VALUE}'}}",
        f"type: {{{VALUE}: 1}}\nstringData: {{apiKey: '{VALUE}'}}",
        f"stringData: {{apiKey: &a{VALUE} x, b: *b{VALUE}}}",
    ],
)
def test_no_problem_repeats_a_secrets_value(body, tmp_path):
    """Broken however: neither text nor JSON holds the value."""
    write(tmp_path, a=f"apiVersion: v1\nkind: Secret\nmetadata: {{name: key}}\n{body}\n")
    manifests = load(tmp_path)
    assert manifests.problems
    for located in manifests.problems:
        assert VALUE not in str(located)
        assert VALUE not in json.dumps(located.as_json())


def test_an_object_is_printed_without_values(tmp_path):
    """The representation of what was loaded holds no Secret's value."""
    write(tmp_path, a=f"apiVersion: v1\nkind: Secret\nmetadata: {{name: key}}\nstringData: {{apiKey: {VALUE}}}\n")
    assert VALUE not in repr(load(tmp_path))


PIECES = st.sampled_from(
    [
        *(
            "a",
            "- ",
            "? ",
            ": ",
            ":",
            "{",
            "}",
            "[",
            "]",
            ",",
            "\n",
            "\n---\n",
            "...\n",
            "&a ",
            "*a",
            "!x ",
            "!!int ",
            "<<",
            "'",
            '"',
            "|",
            ">",
        ),
        *(
            "%YAML 1.1\n",
            "\t",
            "  ",
            "0777",
            "yes",
            ".inf",
            "~",
            "kind: ",
            "List",
            "items: ",
            "apiVersion: v1\n",
            "metadata: ",
            "\\",
            "#",
            "\r",
            "\x85",
        ),
    ]
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(
        st.binary(),
        st.text().map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.lists(PIECES).map(lambda pieces: "".join(pieces).encode()),
    )
)
def test_nothing_that_a_file_can_hold_raises(content, tmp_path):
    """Arbitrary bytes, text and YAML-like rubbish, as YAML and as JSON: objects or located problems come out."""
    for name in ("a.yaml", "a.json"):
        (tmp_path / name).write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        manifests = load(tmp_path)
    lines = content.count(b"\n") + content.count(b"\r") + content.count(b"\x85") + content.count(b"\xe2\x80") + 2
    for located in manifests.problems:
        assert 1 <= located.line <= lines
        assert str(located).isprintable()
