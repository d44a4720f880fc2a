"""`inputs` of a profile → the named values that its expressions and templates read.

Values of a ConfigMap are looked up when they are needed and change with it; here only its name is settled. A namespaced profile
reads ConfigMaps of its own namespace: else whoever writes profiles in one could read another's through a webhook.
"""

from collections.abc import Collection, Iterable, Iterator

from crds.problem import Problem
from crds.security_profile import SecurityProfileInput
from policy.program import ConfigMapRef, Input, Profile, ProfileRef
from policy.reasons import Reason
from policy.report import Report


def compile_inputs(inputs: Iterable[SecurityProfileInput], ref: ProfileRef, report: Report) -> tuple[Input, ...]:
    compiled = (_input(each, ref, report.at(number)) for number, each in enumerate(inputs))
    return tuple(each for each in compiled if each)


def _input(given: SecurityProfileInput, ref: ProfileRef, report: Report) -> Input | None:
    if given.config_map is None:
        return Input(name=given.name, inline=tuple(sorted((given.inline or {}).items())))
    namespace = given.config_map.namespace or ref.namespace
    place = report.at("configMap").at("namespace")
    if not namespace:
        place.fatal(Reason.INVALID_VALUE, "a GlobalSecurityProfile has no namespace of its own: name the ConfigMap's")
        return None
    if ref.namespace and namespace != ref.namespace:
        message = f"a profile in {ref.namespace} reads ConfigMaps of that namespace only: copy it there, or leave the namespace out"
        place.fatal(Reason.REF_NOT_GRANTED, message)
        return None
    return Input(name=given.name, config_map=ConfigMapRef(namespace=namespace, name=given.config_map.name))


def missing_config_maps(profile: Profile, known: Collection[tuple[str, str]]) -> Iterator[Problem]:
    """`known` are those that are there, by namespace and name. What reads a missing one has no value, and the event is dropped."""
    for number, each in enumerate(profile.inputs):
        ref = each.config_map
        if ref and (ref.namespace, ref.name) not in known:
            message = f"there is no ConfigMap {ref.namespace}/{ref.name}: what reads input `{each.name}` has no value until there is"
            place = f"spec.inputs[{number}].configMap"
            yield Problem(reason=Reason.CONFIG_MAP_NOT_FOUND.value, message=message, field=place, fatal=False)
