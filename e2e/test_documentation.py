"""The documentation keeps up with the code: reasons, links, commands, examples and what the README shows."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from crds import annotations

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
REASON = r"(?:[A-Z][a-z]+){2,}|NotAFile"
PACKAGES = ("controller", "crds", "dataplane", "extproc", "groyne", "manifests", "policy")
ANOTHER_MEANING = {
    "ApiKey",
    "ConfigMap",
    "CredentialProvider",
    "GlobalSecurityProfile",
    "SandboxTemplate",
    "SecurityProfile",
    "NetworkPolicy",
}
ANOTHER_MEANING |= {"ConfigMapNotFound", "NamespaceNotOptedIn", "NotAccepted", "ResolvedRefs"}  # of a status that nobody writes yet
ANOTHER_MEANING |= {"MatchedCriteria", "QueryParams", "TemplateFailure"}  # of templates: two of their fields, and how they end
ANOTHER_MEANING |= {"GetResourceApiKey", "BufferedPartial", "FullDuplexStreamed"}  # of others' protocols
ANOTHER_MEANING |= {"DoesNotExist", "NotIn", "CustomResourceDefinition", "DomainPattern", "ObjectMeta"}


def reasons() -> Iterator[str]:
    """Texts in the code that look like a reason: where Envoy's and Kubernetes' words abound, only what is named so."""
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            yield from refused(tree) if package in ("controller", "dataplane") else written(tree)


def written(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and re.fullmatch(REASON, str(node.value)):
            yield str(node.value)


def refused(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            first = [node.args[0]] if node.args and getattr(node.func, "attr", "") in {"builtin", "anyhow"} else []
            named = [keyword.value for keyword in node.keywords if keyword.arg == "reason"]
            yield from (str(each.value) for each in (*first, *named) if isinstance(each, ast.Constant))


def test_every_reason_is_explained() -> None:
    page = (ROOT / "docs" / "problems.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"`([A-Za-z]+)`", page))
    assert set(reasons()) - ANOTHER_MEANING - explained == set()


def test_no_reason_is_explained_that_is_not_there() -> None:
    page = (ROOT / "docs" / "problems.md").read_text(encoding="utf-8")
    first_cells = "".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`([A-Z][A-Za-z]+)`", first_cells)) - {*reasons(), "Blocked", "Duplicate", "Conflict", "Unreadable"} == set()


def test_every_annotation_is_documented() -> None:
    page = (ROOT / "docs" / "annotations.md").read_text(encoding="utf-8")
    ours = {value for name, value in vars(annotations).items() if name.isupper() and str(value).startswith(annotations.PREFIX)}
    assert all(value in page for value in ours - {annotations.PREFIX})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_name_targets_and_examples_that_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z0-9]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z0-9]+)(?=`| {2}|\n)", text)) <= targets
    for path in re.findall(r"\b(examples/[a-z-]+[a-z])", text):
        assert (ROOT / path).exists(), path


def test_pages_stay_readable() -> None:
    """An example's README is some ten lines; no page has a line that no window shows."""
    for page in (ROOT / "examples").glob("*/README.md"):
        assert len(page.read_text(encoding="utf-8").splitlines()) <= 16, page
