"""One static bootstrap out of the generated files: listeners, clusters, routes and secrets inlined instead of named.

Envoy's `--mode validate` reads only the bootstrap, never the files that it names: a mistake in a rule's route would pass
it unseen. In: `Configuration.files`. Out: a bootstrap in which nothing is left to be read from them, for validation and
for showing a configuration in one piece. It is not for running: what changes by file would not change any more.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from dataplane.xds import Resource

BOOTSTRAP = "bootstrap.json"


def static_bootstrap(files: Mapping[str, str], name: str = BOOTSTRAP) -> Resource:
    """Raises KeyError where a file is named that is not among `files`. `name` is one of several bootstraps."""
    texts = {name: text for name, text in files.items() if name.endswith((".json", ".lua"))}
    bootstrap = json.loads(texts[name])
    dynamic = bootstrap.pop("dynamic_resources")
    listeners = resources(texts, dynamic["lds_config"])
    clusters = resources(texts, dynamic["cds_config"])
    named = [resource for name in sorted(texts) if name.startswith("sds-") for resource in json.loads(texts[name])["resources"]]
    static = {"listeners": bare(listeners), "clusters": bare(clusters), "secrets": bare(named)}
    return {**bootstrap, "static_resources": inlined(static, texts)}


def inlined(value: Any, texts: Mapping[str, str]) -> Any:
    """The same tree with every reference to a file replaced by what the file holds."""
    if isinstance(value, list):
        return [inlined(item, texts) for item in value]
    if not isinstance(value, dict):
        return value
    if str(value.get("filename", "")).endswith(".lua"):
        return {"inline_string": texts[value["filename"].rpartition("/")[2]]}
    for key, replace in REPLACED.items():
        if key in value:
            return inlined({**{other: item for other, item in value.items() if other != key}, **replace(value[key], texts)}, texts)
    return {key: inlined(item, texts) for key, item in value.items()}


def route_config(reference: Resource, texts: Mapping[str, str]) -> Resource:
    wanted = reference["route_config_name"]
    return {"route_config": next(table for table in bare(resources(texts, reference["config_source"])) if table["name"] == wanted)}


def discovered(reference: Resource, texts: Mapping[str, str]) -> Resource:
    """A filter that is read from a file of its own."""
    return {"typed_config": resources(texts, reference["config_source"])[0]["typed_config"]}


def static_secret(config: Resource, texts: Mapping[str, str]) -> Resource:  # noqa: ARG001 - one of several replacements
    """A secret among the static ones is named without a source."""
    return {}


def resources(texts: Mapping[str, str], source: Resource) -> list[Resource]:
    path: str = source["path_config_source"]["path"]
    return list(json.loads(texts[path.rpartition("/")[2]])["resources"])


def bare(typed: list[Resource]) -> list[Resource]:
    """Static resources say their type by where they stand."""
    return [{key: value for key, value in resource.items() if key != "@type"} for resource in typed]


REPLACED: Mapping[str, Callable[[Any, Mapping[str, str]], Resource]] = {
    "rds": route_config,
    "sds_config": static_secret,
    "config_discovery": discovered,
}
