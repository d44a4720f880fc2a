"""An event becomes the request that its hook describes, or is dropped with one word."""

import json

import pytest

from extproc.audit.events import events_of
from extproc.audit.reasons import Dropped
from extproc.audit.rendering import LARGEST_BODY, delivery
from unit_tests.extproc.audit.outcomes import hook, resolved
from unit_tests.policy.profiles import block, headers, rule, token


def event(*rules, **more):
    (found,) = events_of(resolved(*rules, **more))
    return found


def made(given, *, loopback=False, **more):
    return delivery(event(rule(audit=[given]), **more), loopback=loopback)


def dropped(given, **more):
    with pytest.raises(Dropped) as caught:
        made(given, **more)
    return caught.value.reason.value


def test_a_hook_with_everything_said():
    body = {"json": {"result": "{{ .Result }}", "to": "{{ .Request.Host }}", "why": "{{ json .MatchedCriteria }}", "n": [1, None, "x"]}}
    given = hook(
        url="https://audit.test/{{ .Pod.Name }}", method="PUT", headers=[{"name": "X-Rule", "value": "{{ .Rule.Name }}é"}], body=body
    )
    found = made(given)
    assert (found.method, str(found.url), found.timeout) == ("PUT", "https://audit.test/pod-0", 2.0)
    assert found.headers == ((b"user-agent", b"groyne"), (b"content-type", b"application/json"), (b"x-rule", "ré".encode()))
    assert json.loads(found.body) == {"n": [1, None, "x"], "result": "passthrough", "to": "h.test", "why": '["host *"]'}


def test_a_hook_with_nothing_said_is_an_empty_post():
    found = made(hook())
    assert (found.method, found.body, found.headers) == ("POST", b"", ((b"user-agent", b"groyne"),))


def test_text_is_text_and_a_content_type_of_its_own_stands_for_the_default():
    found = made(
        hook(headers=[{"name": "Content-Type", "value": "text/csv"}, {"name": "x", "value": " a "}], body={"text": "{{ .Request.Port }},é"})
    )
    assert found.body == "80,é".encode()
    assert found.headers == ((b"user-agent", b"groyne"), (b"content-type", b"text/csv"), (b"x", b"a"))


@pytest.mark.parametrize(
    ("rules", "more", "result"),
    [
        ([{}], {}, "passthrough"),
        ([{"headerManipulation": headers(x="1")}], {}, "mutated"),
        ([{"bypass": True}], {}, "bypassed"),
        ([{"block": block()}], {}, "blocked"),
        ([{"tokenTransformation": token()}], {"issued": {"r": {"apiKey": "k"}}}, "mutated"),
        ([{"tokenTransformation": token()}], {}, "error"),
        ([{"tokenTransformation": token(fail="Allow")}], {}, "passthrough"),
    ],
)
def test_the_result_is_what_became_of_the_request(rules, more, result):
    given = hook(body={"text": "{{ .Result }}"})
    assert delivery(event(*(rule(audit=[given], **actions) for actions in rules), **more), loopback=False).body == result.encode()


def test_one_event_for_each_hook_of_each_rule_that_took_part():
    rules = [
        rule("one", audit=[hook("a"), hook("b")]),
        rule("elsewhere", ["other.test"], audit=[hook()]),
        rule("none"),
        rule("last", block=block(), audit=[hook("c")]),
        rule("never", audit=[hook("d")]),
    ]
    assert [(found.rule.name, found.hook.name, found.result, found.status) for found in events_of(resolved(*rules))] == [
        ("one", "a", "blocked", 403), ("one", "b", "blocked", 403), ("last", "c", "blocked", 403),
    ]  # fmt: skip


def test_a_condition_that_does_not_hold_sends_nothing():
    assert made(hook(when="result == 'blocked'")) is None
    assert made(hook(when="response.status == 200")) is not None


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (hook(when="request.headers['nope'] == ''"), "when_eval"),
        (hook(url="{{ .Inputs.i.url }}"), "render_url"),
        (hook(url="https://{{ .Inputs.i.empty }}/"), "render_url"),
        (hook(url="https://audit.test{{ .Inputs.i.space }}"), "render_url"),
        (hook(url="https://audit.test/{{ .Inputs.i.long }}"), "render_url"),
        (hook(url="http://{{ .Inputs.i.metadata }}/"), "render_url"),
        (hook(url="http://127.0.0.1/"), "render_url"),
        (hook(headers=[{"name": "x", "value": "{{ .Inputs.i.long }}"}]), "render_headers"),
        (hook(body={"text": "{{ .Inputs.i.nope }}"}), "render_body"),
        (hook(body={"json": {"a": ["{{ .Inputs.i.nope }}"]}}), "render_body"),
        (hook(body={"text": "{{ .Inputs.i.long }}"}), "body_too_large"),
        (hook(body={"json": {"a": "{{ .Inputs.i.half }}", "b": "{{ .Inputs.i.half }}"}}), "body_too_large"),
    ],
)
def test_what_cannot_be_made_is_dropped_with_one_word(given, reason):
    values = {
        "empty": "", "space": " /", "metadata": "169.254.169.254", "long": "x" * (LARGEST_BODY + 1), "half": "y" * 40_000,
    }  # fmt: skip
    assert dropped(given, inputs=[{"name": "i", "inline": values}]) == reason


def test_an_input_whose_config_map_is_missing_drops_the_event():
    """The snapshot has no values under its name then."""
    assert dropped(hook(url="{{ .Inputs.cm.url }}"), inputs=[{"name": "cm", "configMap": {"name": "m"}}]) == "render_url"


def test_no_credential_of_the_request_gets_into_an_event():
    sent = tuple((name, "s3cret") for name in ("authorization", "cookie", "x-api-key", "proxy-authorization", "x-my-token"))
    given = hook(body={"text": "{{ json .Request }}"})
    actions = {"tokenTransformation": token(target="x-plain"), "audit": [given]}
    found = event(
        rule(**actions),
        headers=(*sent, ("x-plain", "s3cret"), ("x-a", "1")),
        path="/?access_token=s3cret&q=1",
        issued={"r": {"apiKey": "s3cret"}},
    )
    body = delivery(found, loopback=False).body
    assert b"s3cret" not in body
    assert b'"headers":{"x-a":"1"},"queryParams":{"q":"1"}' in body
    assert "s3cret" not in repr(found)
    assert "s3cret" not in repr(delivery(found, loopback=False))


def test_an_event_leaves_the_body_behind():
    found = event(rule(audit=[hook()]), method="POST", body=b"x" * 1000)
    assert found.request.body == b""
    assert 2000 < found.size < 3000


def test_a_sandbox_cannot_silence_an_event_by_what_it_sends():
    """Neither by length, nor by characters that no URL or header can hold, nor by what a condition cannot bear."""
    given = hook(
        url="https://audit.test/{{ .Request.Path }}?q={{ index .Request.QueryParams `q` }}",
        when="request.path.matches('^/nothing')",
        headers=[{"name": "x", "value": "{{ index .Request.QueryParams `q` }}{{ .Request.Path }}"}],
        body={"json": {"a": "{{ json .Request }}", "b": "{{ json .Request.Headers }}"}},
    )
    headers = tuple((f"x-{number}", '<"&\xff' * 150) for number in range(90))
    path = "/" + "%C3%A9<{}" * 3000 + "?q=%0d%0ax-evil:%20y%23%zz%00" + "%ff" * 4000
    found = made(given, path=path, headers=headers)
    assert len(found.body) <= LARGEST_BODY
    assert len(str(found.url)) <= 4096
    value = dict(found.headers)[b"x"]
    assert value.startswith(b"x-evil: y#")
    assert not set(value) & set(range(32))
    json.loads(json.loads(found.body)["a"])


def test_values_are_shortened_only_where_they_must_be():
    given = hook(url="https://audit.test/{{ .Request.Path }}", body={"text": "{{ .Request.Path }}"})
    assert made(given, path="/" + "x" * 3000).body == b"/" + b"x" * 3000
    assert made(given, path="/" + "x" * 5000).body == b"/" + b"x" * 255
