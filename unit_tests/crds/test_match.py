"""Conditions: the limits of every field."""

from typing import Any

import pytest

from unit_tests.crds.build import accepted, faults, matching

AT = "spec.rules[0].match[0]"


def test_a_full_match_reads_under_its_python_names() -> None:
    raw = matching(
        domains=["*.example.com"],
        paths=[{"value": "/a"}, {"type": "Regex", "value": "^/b"}],
        methods=["GET"],
        ports=[443],
        schemes=["https"],
        headers=[{"name": "X-A", "value": "1"}],
        queryParams=[{"name": "q[]", "type": "Prefix", "value": "v"}],
    )
    match = accepted(raw).spec.rules[0].match[0]
    assert match.domains == ("*.example.com",)
    assert [(path.type, path.value) for path in match.paths] == [("Prefix", "/a"), ("Regex", "^/b")]
    assert (match.methods, match.ports, match.schemes) == (("GET",), (443,), ("https",))
    assert (match.headers[0].name, match.headers[0].type) == ("X-A", "Exact")
    assert (match.query_params[0].name, match.query_params[0].type) == ("q[]", "Prefix")


@pytest.mark.parametrize(
    ("match", "reason", "field"),
    [
        ({"domains": []}, "TooFew", "domains"),
        ({"domains": None}, "MissingField", "domains"),
        ({"domains": "a.com"}, "InvalidType", "domains"),
        ({"domains": [5]}, "InvalidType", "domains[0]"),
        ({"paths": [{"value": ""}]}, "InvalidValue", "paths[0].value"),
        ({"paths": [{"value": "x" * 257}]}, "TooLong", "paths[0].value"),
        ({"paths": [{"type": "Exact"}]}, "MissingField", "paths[0].value"),
        ({"paths": [{"type": "prefix", "value": "/"}]}, "InvalidEnum", "paths[0].type"),
        ({"methods": ["get"]}, "InvalidEnum", "methods[0]"),
        ({"methods": ["TRACK"]}, "InvalidEnum", "methods[0]"),
        ({"ports": [0]}, "InvalidValue", "ports[0]"),
        ({"ports": [65536]}, "InvalidValue", "ports[0]"),
        ({"ports": ["80"]}, "InvalidType", "ports[0]"),
        ({"ports": [True]}, "InvalidType", "ports[0]"),
        ({"ports": [80.0]}, "InvalidType", "ports[0]"),
        ({"schemes": ["https://"]}, "InvalidValue", "schemes[0]"),
        ({"schemes": ["1h"]}, "InvalidValue", "schemes[0]"),
        ({"schemes": ["x" * 33]}, "TooLong", "schemes[0]"),
        ({"headers": [{"name": "a b", "value": "v"}]}, "InvalidValue", "headers[0].name"),
        ({"headers": [{"name": "a`", "value": "v"}]}, "InvalidValue", "headers[0].name"),
        ({"headers": [{"name": "a\n", "value": "v"}]}, "InvalidValue", "headers[0].name"),
        ({"headers": [{"name": "a", "value": ""}]}, "InvalidValue", "headers[0].value"),
        ({"headers": [{"name": "a", "value": "x" * 513}]}, "TooLong", "headers[0].value"),
        ({"headers": [{"name": "x" * 257, "value": "v"}]}, "TooLong", "headers[0].name"),
        ({"headers": [{"name": "a", "value": "v", "type": "Present"}]}, "InvalidEnum", "headers[0].type"),
        ({"queryParams": [{"name": "a b", "value": "v"}]}, "InvalidValue", "queryParams[0].name"),
        ({"queryParams": [{"name": "a#", "value": "v"}]}, "InvalidValue", "queryParams[0].name"),
        ({"queryParams": {"name": "a"}}, "InvalidType", "queryParams"),
    ],
)
def test_a_condition_outside_its_limits_is_located(match: dict[str, Any], reason: str, field: str) -> None:
    assert faults(matching(**match)) == [(reason, f"{AT}.{field}")]


def test_limits_count_characters_and_not_bytes() -> None:
    accepted(matching(paths=[{"value": "é" * 256}]))


def test_methods_need_no_paths() -> None:
    accepted(matching(methods=["POST"]))
