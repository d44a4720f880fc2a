"""Short ways to write profiles in this package's tests: always through the models, as users' manifests are."""

from crds.kinds import parse
from policy.compile import compile_profile, compile_program
from policy.evaluate import evaluate
from policy.program import Identity, SecretKeyRef
from unit_tests.policy.requests import raw

KEY = SecretKeyRef(namespace="default", name="openai", key="apiKey")


def rule(name="r", domains=("*",), *, match=None, **actions):
    """Actions under their API names."""
    return {"name": name, "match": match or [{"domains": list(domains)}], "actions": actions}


def block(status=403, body=None):
    return {"statusCode": status} | ({} if body is None else {"body": body})


def headers(*remove, **written):
    return {"set": [{"name": name.replace("_", "-"), "value": value} for name, value in written.items()], "remove": list(remove)}


def token(name="openai", template="Bearer {{ .Token }}", *, fail=None, when=None, target=None, **more):
    api_key = {"valueTemplate": template} | ({"when": when} if when else {}) | ({"targetHeader": target} if target else {})
    strategy = {"failStrategy": fail} if fail else {}
    return {"credentialRef": {"secret": {"name": name}}, "apiKey": api_key, **strategy, **more}


def manifest(*rules, name="p", namespace="default", priority=None, selector=None, annotations=None, kind="SecurityProfile", **spec):
    metadata = {"name": name, "annotations": annotations or {}}
    if kind == "SecurityProfile":
        metadata["namespace"] = namespace
    order = {} if priority is None else {"priority": priority}
    return {
        "apiVersion": "agents.kruise.io/v1alpha1",
        "kind": kind,
        "metadata": metadata,
        "spec": {"selector": selector or {}, "rules": list(rules), **order, **spec},
    }


def model(*rules, **more):
    parsed = parse(manifest(*rules, **more))
    assert parsed.object is not None, parsed.problems
    return parsed.object


def problems(*rules, **more):
    """(reason, field) of each problem, in order."""
    return [(problem.reason, problem.field) for problem in compile_profile(model(*rules, **more)).problems]


def only_problem(*rules, **more):
    found = compile_profile(model(*rules, **more)).problems
    assert len(found) == 1, found
    return found[0]


def compiled(*rules, **more):
    result = compile_profile(model(*rules, **more))
    assert result.profile is not None, result.problems
    return result.profile


def selection(*rules, identity=None, **more):
    return program(model(*rules, **more)).select(identity or Identity())


def program(*models):
    result = compile_program(models)
    assert len(result.program.profiles) == len(models), result.problems
    return result.program


def verdict(rules, path="/", authority="h.test", *, credentials=None, annotations=None, **request):
    """What becomes of one request under one profile with these rules."""
    return evaluate(selection(*rules, annotations=annotations), raw(path, authority, **request), credentials=credentials or {})
