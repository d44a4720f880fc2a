"""The credentials that a request wants: from whom, side by side, and what is said where there are none."""

import asyncio
from dataclasses import replace

import pytest

from dataplane.external_protocol import SANDBOX_LABELS
from extproc.audit.log import entry_of
from extproc.events import Headers, Mutate, Refuse
from extproc.identity import Peer
from extproc.providers.seam import Failure, ProviderAnswer, ProviderError
from extproc.snapshot import SecretData
from unit_tests.extproc.desks import POD, TOKEN, Desk, sources
from unit_tests.extproc.envoy import Answered, Arriving, Envoy, Filter, Forwarded
from unit_tests.kube.virtual import run
from unit_tests.policy.profiles import block, rule, token

LINES = ((":method", "GET"), (":authority", "h.test"), (":path", "/models?a=b"), (":scheme", "https"), ("x-a", "1"))
PROVED = {**POD, "filter_state['sandbox.token']": TOKEN, SANDBOX_LABELS: "YXBwPWFnZW50"}


def issued(name, provider, *, fail=None, header=None, parameters=None):
    credential = {"credentialProvider": {"name": provider} | ({"parameters": parameters} if parameters else {})}
    api_key = {"valueTemplate": "{{ .Token }}"} | ({"targetHeader": header} if header else {})
    more = {"failStrategy": fail} if fail else {}
    return rule(name, tokenTransformation={"type": "ApiKey", "credentialRef": credential, "apiKey": api_key, **more})


class Slow:
    """Takes a second for each question. `faults` by provider."""

    def __init__(self, **faults):
        self.faults, self.asked, self.dropped = faults, [], []

    async def fetch(self, ask, *, deadline):
        self.asked.append(ask)
        await asyncio.sleep(1.0)
        if ask.provider in self.faults:
            raise ProviderError(self.faults[ask.provider])
        return ProviderAnswer(values={"apiKey": f"of-{ask.provider}"})

    def invalidate(self, ask, answer):
        self.dropped.append((ask.provider, answer.values["apiKey"]))
        return True


def asked(provider, *rules, attributes=PROVED, response=None):
    desk = Desk(sources(*rules), provider=provider)

    async def main():
        found = await Envoy(Filter(), Arriving(lines=LINES, attributes=attributes), response=response).ask(desk)
        return found, asyncio.get_running_loop().time()

    found, seconds = run(main())
    return desk, found, seconds


def test_several_credentials_are_fetched_side_by_side():
    """A request waits as long as for the slowest."""
    provider = Slow()
    _, found, seconds = asked(provider, issued("a", "one", header="x-one"), issued("b", "two", header="x-two"))
    assert (found.headers["x-one"], found.headers["x-two"]) == ("of-one", "of-two")
    assert 1.0 <= seconds < 1.5


@pytest.mark.parametrize(
    "after",
    [rule("closed", block=block()), rule("closed", mcpToolPolicy={"rules": [{"method": "tools/call", "action": "deny"}]}, block=block())],
)
def test_nobody_is_asked_for_a_request_that_ends_refused(after):
    """By a rule after those that want the credentials."""
    provider = Slow()
    _, found, _ = asked(provider, issued("a", "one"), after)
    assert found.status == 403
    assert provider.asked == []


def test_a_bypass_ends_the_walk_and_not_what_was_wanted_before_it():
    """What comes after it is not asked for."""
    provider = Slow()
    asked(provider, issued("a", "one"), rule("open", bypass=True), issued("b", "two"))
    assert [ask.provider for ask in provider.asked] == ["one"]


@pytest.mark.parametrize(("fail", "passes"), [(None, False), ("Block", False), ("Allow", True), ("Ignore", True)])
@pytest.mark.parametrize("failure", [Failure.TIMEOUT, Failure.STATUS, Failure.TOO_LARGE])
def test_a_failure_is_the_rules(fail, passes, failure):
    """It refuses with 503, or leaves no trace; counted by its reason, said to nobody."""
    desk, found, _ = asked(Slow(one=failure), issued("a", "one", fail=fail))
    assert isinstance(found, Forwarded if passes else Answered)
    assert passes or (found.status == 503 and b"CredentialUnavailable" in found.body)
    assert not passes or "authorization" not in found.headers
    assert desk.failures == [failure.value]
    assert desk.outcomes[0].credentials_failed == ("default/p/a",)


@pytest.mark.parametrize(
    ("attributes", "provider", "reason"),
    [(POD, Slow(), "no-token"), ({**PROVED, "filter_state['sandbox.token']": "-"}, Slow(), "no-token"), (PROVED, None, "no-provider")],
)
def test_who_has_nothing_to_ask_with_is_refused(attributes, provider, reason):
    """As with any failure, and not let through without the credential."""
    desk, found, _ = asked(provider, issued("a", "one"), attributes=attributes)
    assert found.status == 503
    assert desk.failures == [reason]
    assert not provider or provider.asked == []


def test_one_failure_does_not_spoil_the_others():
    """Each rule has its own strategy."""
    _, found, _ = asked(Slow(one=Failure.STATUS), issued("a", "one", fail="Allow", header="x-one"), issued("b", "two", header="x-two"))
    assert "x-one" not in found.headers
    assert found.headers["x-two"] == "of-two"


def test_a_provider_is_told_parameters_and_who_asks():
    """Literal values, CEL and templates over the request and the pod."""
    parameters = {
        "plain": {"value": "v"},
        "cel": {"cel": "request.path + ' of ' + pod.labels.app"},
        "template": {"template": "{{ .Request.Host }}"},
    }
    provider = Slow()
    asked(provider, issued("a", "one", parameters=parameters))
    (ask,) = provider.asked
    assert ask.parameters == {"plain": "v", "cel": "/models of agent", "template": "h.test"}
    assert (ask.resource_id, ask.caller, ask.keys) == ("client-1", "pod default/pod-0", ("apiKey",))
    assert "sandbox-proof" not in repr(ask)


def test_a_parameter_that_has_no_value_is_a_failure_and_nobody_is_asked():
    """Nothing is put in its place."""
    provider = Slow()
    desk, found, _ = asked(provider, issued("a", "one", parameters={"cel": {"cel": "request.headers['x-missing']"}}))
    assert found.status == 503
    assert desk.failures == ["parameter"]
    assert provider.asked == []


@pytest.mark.parametrize(("status", "dropped"), [(401, [("one", "of-one")]), (403, []), (200, []), (None, [])])
def test_what_a_host_refuses_is_not_used_again(status, dropped):
    """A 401 says that the credential is no good any more."""
    provider = Slow()
    asked(provider, issued("a", "one"), response=status)
    assert provider.dropped == dropped


SIGNING = {"accessKeyId": b"id", "accessKeySecret": b"s3cret", "securityToken": b"t"}


@pytest.mark.parametrize("fail", ["Allow", "Block"])
@pytest.mark.parametrize(
    ("action", "secrets", "why"),
    [
        (token("s"), {}, "no-secret"),
        ({"type": "AliyunSTS", "credentialRef": {"secret": {"name": "s"}}}, {}, "no-secret"),
        ({"type": "AliyunSTS", "credentialRef": {"secret": {"name": "s"}}}, {("default", "s"): SecretData(data=SIGNING)}, "unsigned"),
    ],
)
def test_what_never_got_in_is_not_claimed(action, secrets, why, fail):
    """A Secret that is missing, a request that cannot be signed: named as failed, counted, and no credential in anybody's log."""
    desk = Desk(replace(sources(rule("a", tokenTransformation=action | {"failStrategy": fail})), secrets=secrets))
    machine = desk.admit(Headers(lines=LINES, attributes=POD), Peer())
    (answer,) = machine.on(Headers(lines=LINES, attributes=POD))
    assert isinstance(answer, Mutate if fail == "Allow" else Refuse)
    assert "credential:" not in getattr(answer, "acted", "")
    outcome = machine.resolved()
    assert outcome.credentials_failed == ("default/p/a",)
    entry = entry_of(outcome)
    assert (entry.actions, entry.failed) == ((), ("default/p/a",))
    desk.resolved(outcome)
    assert desk.value("credential_failures_total", reason=why) == 1


def test_a_provider_that_failed_is_counted_once():
    """By whoever asked it; the outcome does not count it again."""
    desk, _, _ = asked(Slow(one=Failure.STATUS), issued("a", "one", fail="Allow"))
    assert desk.failures == ["status"]
    assert desk.value("credential_failures_total", reason="not-issued") is None
