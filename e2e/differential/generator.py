"""A seed → manifests of one program: a few profiles with at least three rules between them, and the Secrets they name.

Programs are valid on purpose: mistakes have their own tests. What is drawn often is what makes rules meet: few hosts, few
headers, terminal actions between mutations, mutations of headers that conditions read.
"""

from random import Random
from typing import Any

from e2e.differential import vocabulary as words

Manifest = dict[str, Any]
API = "agents.kruise.io/v1alpha1"
MIN_RULES, MAX_RULES = 3, 9
ACTIONS = ("bypass", "block", "headers", "token", "mcp")


def program(random: Random) -> list[Manifest]:
    return [*secrets(), *profiles(random)]


def secrets() -> list[Manifest]:
    return [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}, "stringData": {"apiKey": value}}
        for name, value in words.SECRETS.items()
    ]


def profiles(random: Random) -> list[Manifest]:
    favourites = random.sample(words.PATTERNS, random.randint(2, 4))
    rules = [rule(random, f"r{number}", favourites) for number in range(random.randint(MIN_RULES, MAX_RULES))]
    count = random.choice((1, 1, 2, 3))
    return [profile(random, f"p{number}", rules[number::count]) for number in range(count)]


def profile(random: Random, name: str, rules: list[Manifest]) -> Manifest:
    is_global = random.random() < 0.25
    metadata: Manifest = {"name": name} if is_global else {"name": name, "namespace": "default"}
    if random.random() < 0.15:
        metadata["annotations"] = {"groyne.dev/allow-escaped-slashes": ", ".join(random.sample(words.PATTERNS, 2))}
    spec: Manifest = {"selector": {}, "rules": rules}
    if random.random() < 0.5:
        spec["priority"] = random.choice((100, 200, 1000, 2000))
    return {"apiVersion": API, "kind": "GlobalSecurityProfile" if is_global else "SecurityProfile", "metadata": metadata, "spec": spec}


def rule(random: Random, name: str, favourites: list[str]) -> Manifest:
    kind = random.choices(ACTIONS, (13, 26, 26, 20, 15))[0]
    entries = [entry(random, favourites, narrow=kind in {"bypass", "block"}) for _ in range(random.choice((1, 1, 1, 2, 3)))]
    return {"name": name, "match": entries, "actions": actions(random, kind) | (audit(random) if random.random() < 0.08 else {})}


def audit(random: Random) -> Manifest:
    """A hook: nobody hears of it here, but its rule is for ext-proc."""
    return {"audit": [{"name": "hook", "webhook": {"url": "https://audit.example/"}}]}


def entry(random: Random, favourites: list[str], *, narrow: bool) -> Manifest:
    """`narrow`: a terminal rule that matches everything would leave nothing for the rules after it."""
    domains = [domain(random, favourites) for _ in range(random.choice((1, 1, 2)))]
    found: Manifest = {"domains": domains}
    chances = {"paths": 0.4, "methods": 0.25, "ports": 0.2, "schemes": 0.28, "headers": 0.4, "queryParams": 0.25}
    chosen = [field for field, chance in chances.items() if random.random() < chance]
    if narrow and not {"paths", "headers", "queryParams", "methods"} & set(chosen) and random.random() < 0.85:
        chosen.append(random.choice(("paths", "headers", "queryParams", "methods")))
    return found | {field: CONDITIONS[field](random) for field in chosen}


def domain(random: Random, favourites: list[str]) -> str:
    text = random.choice(favourites if random.random() < 0.8 else words.PATTERNS)
    if random.random() < 0.2:
        text = text.upper() if random.random() < 0.5 else text.title()
    if random.random() < 0.08 and text != "*" and ":" not in text:
        text += "."
    return text


def paths(random: Random) -> list[Manifest]:
    return some(random, lambda: string_match(random, words.PATHS, words.PATH_PREFIXES, tuple(words.PATH_REGEXES)))


def headers(random: Random) -> list[Manifest]:
    def one() -> Manifest:
        name = random.choice(words.HEADERS) if random.random() < 0.95 else "host"
        name = name.title() if random.random() < 0.3 else name
        return {"name": name, **string_match(random, words.VALUES, words.VALUE_PREFIXES, tuple(words.VALUE_REGEXES))}

    return some(random, one)


def query(random: Random) -> list[Manifest]:
    def one() -> Manifest:
        match = string_match(random, words.QUERY_VALUES, words.QUERY_PREFIXES, tuple(words.QUERY_REGEXES))
        return {"name": random.choice(words.QUERY), **match}

    return some(random, one)


def some(random: Random, make: Any) -> list[Manifest]:
    return [make() for _ in range(random.choice((1, 1, 2)))]


def string_match(random: Random, exact: tuple[str, ...], prefixes: tuple[str, ...], regexes: tuple[str, ...]) -> Manifest:
    kind, values = random.choice((("Exact", exact), ("Prefix", prefixes), ("Regex", tuple(filter(None, regexes)))))
    return {"type": kind, "value": random.choice(values)}


def methods(random: Random) -> list[str]:
    return random.sample(words.METHODS, random.randint(1, 4)) if random.random() < 0.8 else ["CONNECT", "GET"]


CONDITIONS = {
    "paths": paths,
    "headers": headers,
    "queryParams": query,
    "methods": methods,
    "ports": lambda random: random.sample(words.PORTS, random.randint(1, 2)),
    "schemes": lambda random: [random.choice(("http", "https", "HTTPS", "Http"))],
}


def actions(random: Random, kind: str) -> Manifest:
    kinds = {kind}
    if random.random() < 0.2:
        kinds.add(random.choice(("headers", "token")))
    return {key: value for each in sorted(kinds) for key, value in ACTION[each](random).items()}


def bypass(random: Random) -> Manifest:
    return {"bypass": True}


def block(random: Random) -> Manifest:
    found: Manifest = {}
    if random.random() < 0.6:
        found["statusCode"] = random.choice((200, 204, 302, 304, 400, 403, 404, 429, 431, 451, 503, 599))
    body = random.choice(words.BODIES)
    if body is not None and found.get("statusCode") not in {204, 304}:
        found["body"] = body
    return {"block": found}


def header_manipulation(random: Random) -> Manifest:
    names = random.sample(words.WRITTEN, random.randint(1, 4))
    cut = random.randint(0, len(names))
    put = [{"name": name, "value": random.choice(words.WRITTEN_VALUES)} for name in names[:cut]]
    return {"headerManipulation": {"set": put, "remove": names[cut:]}}


def token(random: Random) -> Manifest:
    source: Manifest = {"secret": {"name": random.choice([*words.SECRETS, *words.SECRETS, words.MISSING])}}
    if random.random() < 0.2:
        source = {"credentialProvider": {"name": random.choice([*words.ISSUED, *words.ISSUED, words.FAILING])}}
    api_key: Manifest = {"valueTemplate": random.choice(words.TEMPLATES)}
    if random.random() < 0.7:
        api_key["targetHeader"] = random.choice(("Authorization", "X-Key", "x-a", "x-new"))
    if random.random() < 0.35:
        header = random.choice(("Authorization", "x-a", "x-b", "X-Key"))
        api_key["when"] = {"header": header, "pattern": random.choice([*filter(None, words.VALUE_REGEXES), "Bearer __PLACEHOLDER__"])}
    found: Manifest = {"type": "ApiKey", "credentialRef": source, "apiKey": api_key}
    if random.random() < 0.06:
        # Few requests are signed: the others fail, and failStrategy says what follows.
        found = {"type": "AliyunSTS", "credentialRef": {"credentialProvider": {"name": random.choice([*words.STS, words.FAILING])}}}
    if random.random() < 0.5:
        found["failStrategy"] = random.choice(("Allow", "Block", "Ignore"))
    if random.random() < 0.05:
        found["disabled"] = True
    return {"tokenTransformation": found}


def mcp(random: Random) -> Manifest:
    rules = [
        {
            "method": random.choice(("tools/call", "tools/call", "tools/call", "tools/list")),
            "action": random.choice(("allow", "deny")),
            **({"toolNames": random.sample(words.TOOLS, random.randint(1, 3))} if random.random() < 0.8 else {}),
        }
        for _ in range(random.randint(1, 3))
    ]
    found: Manifest = {"rules": rules}
    if random.random() < 0.5:
        found["defaultAction"] = random.choice(("allow", "deny"))
    if random.random() < 0.4:
        found["unsupportedVersionAction"] = random.choice(("deny", "passthrough"))
    if random.random() < 0.4:
        found["denyResponse"] = block(random)["block"]
    return {"mcpToolPolicy": found}


ACTION = {"bypass": bypass, "block": block, "headers": header_manipulation, "token": token, "mcp": mcp}
