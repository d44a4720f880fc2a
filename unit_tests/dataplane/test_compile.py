"""What a program becomes, as goldens: `goldens/NAME.in.yaml` → `goldens/NAME.out.json`, so that a change is a diff to read.

`GROYNE_REWRITE_GOLDENS=1 pytest unit_tests/dataplane/test_compile.py` writes them anew. They hold the routes; what is the same in
all of them (answers, types, the long regular expression of a valid host) is abbreviated.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from crds import GlobalSecurityProfile, SecurityProfile, parse
from dataplane.compile import Configuration, Options, Pair, Plan, compile_envoy, make_plan
from dataplane.secrets import Layout
from policy.authority import VALID_AUTHORITY
from policy.compile import compile_program
from policy.program import Identity, SecretKeyRef
from unit_tests.dataplane.policies import block, plan, rule, token

GOLDENS = sorted((Path(__file__).parent / "goldens").glob("*.in.yaml"))
KEY = SecretKeyRef(namespace="default", name="key", key="apiKey")
SECRET = "a-value-that-is-in-one-file-only"
LEAF = Pair(certificate="CERTIFICATE", key="KEY")
OPTIONS = Options(
    layout=Layout(directory="/run/groyne"), address={"pipe": {"path": "/run/groyne/proxy.sock"}}, admin_socket="/run/groyne/admin.sock"
)


def golden_plan(path: Path) -> Plan:
    parsed = [parse(document).object for document in YAML(typ="safe").load_all(path)]
    result = compile_program([each for each in parsed if isinstance(each, SecurityProfile | GlobalSecurityProfile)])
    assert not [problem for found in result.problems.values() for problem in found if problem.fatal], result.problems
    return make_plan(result.program.select(Identity(namespace="default")))


def compiled(made: Plan, *, credentials: bool = True) -> Configuration:
    leafs = (LEAF,) if made.intercepted_names else ()
    return compile_envoy(made, {KEY: SECRET} if credentials else {}, leafs, OPTIONS)


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.name.removesuffix(".in.yaml"))
def test_the_routes_are_those_of_the_golden(path: Path) -> None:
    """Hosts, how each is handled and why, and the routes of intercepted and plain requests."""
    made = golden_plan(path)
    files = compiled(made).files
    routes = {name: readable(json.loads(files[f"rds-{name}.json"])["resources"][0]["virtual_hosts"]) for name in ("intercept", "plain")}
    handled = {host.pattern.text: [host.handling.value, *host.because] for host in made.hosts}
    found = json.dumps({"hosts": handled, **routes}, indent=1, ensure_ascii=False) + "\n"
    golden = path.with_name(path.name.replace(".in.yaml", ".out.json"))
    if os.environ.get("GROYNE_REWRITE_GOLDENS"):
        golden.write_text(found, encoding="utf-8")
    assert found == golden.read_text(encoding="utf-8")


def readable(tree: Any) -> Any:
    """Types without their prefix, the regular expression of a valid host by its name, predicates in one line."""
    if isinstance(tree, list):
        return [readable(each) for each in tree]
    if isinstance(tree, dict):
        if tree and set(tree) <= {"and_matcher", "or_matcher", "not_matcher", "single_predicate"}:
            return predicate(tree)
        if "direct_response" in tree:
            return answer(tree)
        return {key: readable(value) for key, value in tree.items()}
    if isinstance(tree, str):
        return tree.removeprefix("type.googleapis.com/envoy.")
    return tree


def answer(route: dict[str, Any]) -> str:
    response = route["direct_response"]
    body = response["body"]["inline_string"] if "body" in response else "JSON" if "body_format" in response else "nothing"
    more = {key: value for key, value in route.items() if key not in {"direct_response", "name", "match", "@type"}}
    connect = "CONNECT: " if "connect_matcher" in route["match"] else ""
    return f"{connect}{route['name']} answers {response['status']} with {body}" + (f", {json.dumps(more)}" if more else "")


def predicate(tree: dict[str, Any]) -> str:
    ((kind, inner),) = tree.items()
    if kind == "single_predicate":
        value = inner["value_match"]
        ((how, wanted),) = ((key, item) for key, item in value.items() if key != "ignore_case")
        wanted = wanted["regex"].replace(VALID_AUTHORITY, "<VALID AUTHORITY>") if how == "safe_regex" else wanted
        how = {"safe_regex": "~", "exact": "="}.get(how, how) + ("i" if value.get("ignore_case") else "")
        return f"{inner['input']['typed_config']['header_name']} {how} {wanted!r}"
    if kind == "not_matcher":
        return f"not ({predicate(inner)})"
    return "(" + {"and_matcher": " and ", "or_matcher": " or "}[kind].join(predicate(each) for each in inner["predicate"]) + ")"


def test_the_same_input_gives_the_same_bytes() -> None:
    """A file that did not change is not written anew, and Envoy is not told of it."""
    rules = (token("key", "api.test"), block("no", "*.test"))
    assert compiled(plan(*rules)).files == compiled(plan(*rules)).files


def test_a_rule_that_changes_changes_routes_only() -> None:
    """Listeners and clusters stay as they are, so that open connections obey the new rule."""
    before = compiled(plan(rule("r", "api.test", actions={"headerManipulation": {"remove": ["x-a"]}}))).files
    after = compiled(
        plan(rule("r", "api.test", actions={"headerManipulation": {"remove": ["x-b"]}}), block("no", "api.test", methods=["PUT"]))
    ).files
    assert {name for name in before if before[name] != after[name]} == {"rds-explicit.json", "rds-plain.json", "rds-intercept.json"}


def test_a_credential_that_rotates_changes_its_own_file_only() -> None:
    """And its value is in no other."""
    made = plan(token("key", "api.test"))
    ref = SecretKeyRef(namespace="agents", name="key", key="apiKey")
    before = compile_envoy(made, {ref: SECRET}, (LEAF,), OPTIONS).files
    after = compile_envoy(made, {ref: "another"}, (LEAF,), OPTIONS).files
    [changed] = [name for name in before if before[name] != after[name]]
    assert changed.startswith("sds-credential-")
    assert [name for name in before if SECRET in before[name]] == [changed]


def test_secrets_come_before_the_routes_that_name_them() -> None:
    """In the order in which files are written."""
    order = list(
        compile_envoy(
            plan(token("key", "api.test")), {SecretKeyRef(namespace="agents", name="key", key="apiKey"): "x"}, (LEAF,), OPTIONS
        ).files
    )
    assert max(at for at, name in enumerate(order) if name.startswith("sds-")) < min(
        at for at, name in enumerate(order) if name.startswith("rds-")
    )


def test_values_and_keys_are_not_in_what_is_printed() -> None:
    """A traceback or a log line of these objects shows no secret."""
    made = compile_envoy(
        plan(token("key", "api.test")), {SecretKeyRef(namespace="agents", name="key", key="apiKey"): SECRET}, (LEAF,), OPTIONS
    )
    assert SECRET not in repr(made)
    assert "KEY'" not in repr(LEAF)
