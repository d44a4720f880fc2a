"""What an operator may say of ext-proc: each value read, each law with the problem that breaks it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.external_settings import ATTRIBUTE, STATUSES, Body, ExternalSettings, laws, read_settings


def test_every_setting_is_read_from_text():
    """Flags and environment know nothing but text."""
    settings, problems = read_settings(
        {
            "messageTimeout": "750ms", "failOpen": "true", "statusOnError": "502", "allowModeOverride": "true", "body": "Buffered",
            "attributes": "request.id, source.port", "accessibleNamespaces": "dev.mine", "writableNamespaces": "dev.mine,dev.yours",
        }
    )  # fmt: skip
    assert problems == ()
    assert settings == ExternalSettings(
        message_timeout=0.75, fail_open=True, status_on_error=502, allow_mode_override=True, attributes=("request.id", "source.port"),
        accessible_namespaces=("dev.mine",), writable_namespaces=("dev.mine", "dev.yours"),
    )  # fmt: skip


def test_values_of_their_own_type_mean_the_same():
    """A file in YAML has booleans, numbers and lists."""
    typed, _ = read_settings({"shadowMode": True, "statusOnError": 504, "body": "None", "attributes": ["request.id"]})
    text, _ = read_settings({"shadowMode": "true", "statusOnError": "504", "body": "None", "attributes": "request.id"})
    assert typed == text


def test_the_defaults_refuse_what_nobody_decided():
    """Whoever sets nothing has it fail closed."""
    settings, problems = read_settings({})
    assert problems == ()
    assert settings.decides
    assert not settings.fail_open


@pytest.mark.parametrize(
    ("raw", "field", "said"),
    [
        ({"messageTimeuot": "5s"}, "messageTimeuot", "no such setting"),
        ({"messageTimeout": "5"}, "messageTimeout", "no duration"),
        ({"messageTimeout": "0s"}, "messageTimeout", "longer than nothing"),
        ({"messageTimeout": 5}, "messageTimeout", "no duration"),
        ({"failOpen": "yes"}, "failOpen", "neither true nor false"),
        ({"statusOnError": "200"}, "statusOnError", "status of an error"),
        ({"statusOnError": True}, "statusOnError", "three digits"),
        ({"statusOnError": "499"}, "statusOnError", "that HTTP knows"),
        ({"body": "buffered"}, "body", "none of"),
        ({"body": "Streamed"}, "body", "cannot be judged"),
        ({"body": "BufferedPartial"}, "body", "cannot be judged"),
        ({"failOpen": "true", "body": "FullDuplexStreamed"}, "failOpen", "cannot be had back"),
        ({"shadowMode": "true"}, "shadowMode", "Streamed or None"),
        ({"attributes": "filter_state.secret"}, "attributes", "may not be asked for"),
        ({"attributes": "request."}, "attributes", "may not be asked for"),
        ({"attributes": "xds.node"}, "attributes", "may not be asked for"),
        ({"attributes": "request.id,request.id"}, "attributes", "each once"),
        ({"attributes": ",".join(f"request.x{n}" for n in range(33))}, "attributes", "at most 32"),
        ({"writableNamespaces": "envoy.filters.http.jwt_authn"}, "writableNamespaces", "Envoy's own"),
        ({"writableNamespaces": "Envoy.lb"}, "writableNamespaces", "Envoy's own"),
        ({"writableNamespaces": ",".join(f"n{n}" for n in range(9))}, "writableNamespaces", "at most 8"),
        ({"accessibleNamespaces": "two words"}, "accessibleNamespaces", "no name"),
        ({"accessibleNamespaces": 7}, "accessibleNamespaces", "commas"),
    ],
)
def test_a_mistake_is_a_problem_of_its_field(raw, field, said):
    """Named by the field that the operator wrote, with what to write instead."""
    _, problems = read_settings(raw)
    assert [(problem.field, problem.fatal) for problem in problems] == [(field, True)]
    assert said in problems[0].message


@given(st.builds(ExternalSettings, fail_open=st.booleans(), shadow_mode=st.booleans(), body=st.sampled_from(Body)))
def test_no_lawful_setting_waits_for_what_it_lets_pass(settings):
    """Shadow mode holds nothing back; whatever decides has the whole body before its headers go on."""
    if laws(settings):
        return
    assert (settings.body in {Body.NONE, Body.STREAMED}) == settings.shadow_mode
    assert not (settings.fail_open and settings.body is Body.FULL_DUPLEX_STREAMED)


@given(st.sampled_from(sorted(STATUSES)))
def test_statuses_are_those_of_errors(status):
    """Nothing that a client takes for success or for a redirection."""
    assert 400 <= status < 600
    assert not laws(ExternalSettings(status_on_error=status))


def test_attributes_may_have_digits():
    """`0` among them, which a pattern in use elsewhere forgets."""
    assert ATTRIBUTE.fullmatch("connection.tls_version_10")
