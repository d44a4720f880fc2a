"""Why a rule is not Envoy's alone, as `check` and `explain` say it."""

import pytest

from groyne.check import check
from groyne.engines import MOST, extproc_lines, why_extproc
from groyne.output import Output
from unit_tests.groyne.written import read, write
from unit_tests.policy.profiles import block, manifest, rule

VAULT = {"credentialRef": {"credentialProvider": {"name": "vault"}}, "apiKey": {"valueTemplate": "{{ .Token }}"}}
SIGNED = {"type": "AliyunSTS", "credentialRef": {"secret": {"name": "sts"}}}
HOOK = [{"name": "hook", "webhook": {"url": "https://audit.example/"}}]


@pytest.mark.parametrize(
    ("actions", "because"),
    [
        ({"block": block()}, ""),
        ({"tokenTransformation": VAULT}, "a provider issues its credential"),
        ({"tokenTransformation": SIGNED}, "it signs requests"),
        ({"block": block(), "audit": HOOK}, "it tells of requests"),
        ({"tokenTransformation": VAULT, "audit": HOOK}, "a provider issues its credential and it tells of requests"),
    ],
)
def test_the_reason_is_what_envoy_cannot_do(tmp_path, actions, because):
    [found] = read(tmp_path, manifest(rule("r", match=[{"domains": ["api.test"]}], **actions))).selection.rules
    assert why_extproc(found) == because
    assert (found.engine == "extproc") == bool(because)


def test_of_many_rules_the_first_are_named(tmp_path):
    """A profile that tells of everything has hundreds."""
    rules = [rule(f"r{n}", match=[{"domains": ["api.test"]}], block=block(), audit=HOOK) for n in range(MOST + 5)]
    lines = extproc_lines(read(tmp_path, manifest(*rules)).selection.rules)
    assert len(lines) == MOST + 1
    assert lines[-1] == "and 5 more rules for ext-proc"


def test_check_says_which_rules_are_for_ext_proc(tmp_path, capsys):
    write(tmp_path, manifest(rule("r", match=[{"domains": ["api.test"], "schemes": ["https"]}], tokenTransformation=VAULT)))
    assert check(tmp_path, Output.TEXT) == 0
    assert "default/p/r: for ext-proc, because a provider issues its credential" in capsys.readouterr().err
