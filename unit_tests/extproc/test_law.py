"""What ext-proc answers is what the policy says: over programs and requests drawn at random, in every way that Envoy can send a body.

The programs, requests and credentials are those of `e2e/differential`, which puts the same question to a real Envoy. Here
it costs a thousandth of that, and Envoy's modes can be tried that our own configuration does not use.
"""

import asyncio
import json
import os
from random import Random

import pytest

from e2e.differential import generator
from e2e.differential import vocabulary as words
from e2e.differential.external import issued, secrets
from e2e.differential.program import build
from e2e.differential.requests import requests_for
from extproc.requests import PROTOCOL
from extproc.snapshot import Sources
from policy.evaluate import escaped_slash_hosts, evaluate
from policy.headers import HOP_BY_HOP
from policy.mcp import MAX_BODY
from policy.normalise import normalise
from policy.refusal import standard_body
from policy.request import Malformed
from policy.verdict import Outcome
from policy.walk import End, walk
from unit_tests.extproc.desks import POD, TOKEN, Desk, Provider
from unit_tests.extproc.envoy import MODE, Answered, Arriving, Envoy, Filter, Forwarded, Undecided, arriving

PROGRAMS = int(os.environ.get("GROYNE_EXTPROC_PROGRAMS", "60"))
REQUESTS = 12
NOT_SEEN = HOP_BY_HOP | {"host"}
"""Headers that Envoy's HTTP/2 refuses or takes out before any filter."""
SHARDS = 6
KNOWN = {**POD, "filter_state['sandbox.token']": TOKEN}

FILTERS = (
    Filter(body=MODE.NONE),
    Filter(body=MODE.NONE, override=True),
    Filter(body=MODE.BUFFERED),
    Filter(body=MODE.BUFFERED, trailers=True),
    Filter(body=MODE.STREAMED),
    Filter(body=MODE.STREAMED, override=True, trailers=True),
    Filter(body=MODE.STREAMED, sends_ahead=True),
    Filter(body=MODE.STREAMED, sends_ahead=True, trailers=True),
    Filter(body=MODE.BUFFERED_PARTIAL, limit=16),
    Filter(body=MODE.FULL_DUPLEX_STREAMED),
    Filter(body=MODE.BUFFERED, says=False),
)


class Drawn:
    """One program with its desks."""

    def __init__(self, seed):
        self.random = Random(seed)
        self.program = build(generator.program(self.random))
        known = Sources(program=self.program.policy, secrets=secrets(self.program))
        self.desks = {override: Desk(known, provider=Provider(**words.ISSUED), overrides=override) for override in (False, True)}

    def requests(self):
        for sent in requests_for(self.random, self.program.selection, self.program.plan, REQUESTS):
            yield sent.raw

    def verdict(self, raw):
        return evaluate(self.program.selection, raw, credentials=self.program.credentials, issued=issued)

    def normalised(self, raw):
        return normalise(raw, escaped_slash_hosts(self.program.selection))

    def shape(self, request, *, http2):
        """The body in pieces as TCP gives them, with or without trailers after it."""
        body, cuts = request.body, sorted(self.random.randrange(len(request.body) + 1) for _ in range(self.random.choice((0, 1, 3))))
        pieces = tuple(body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)) if body else ()
        trailers = (("x-checksum", "1"),) if self.random.random() < 0.2 else ()
        noise = self.random.choice(((), (("x-groyne-id", "of-envoy"),), (("transfer-encoding", "chunked"), ("x-groyne-path", "/"))))
        said = {**KNOWN, PROTOCOL: "HTTP/2" if http2 else "HTTP/1.1"}
        return arriving(request, chunks=pieces, trailers=trailers, more=noise, attributes=said)

    def expected(self, configured, come, raw, request):
        verdict = self.verdict(raw)
        walked = walk(self.program.selection.rules, request, body_known=come.bare)
        if walked.end is End.BODY_WANTED and (unread := not_readable(configured, come, request)):
            return unread if unread is Undecided else refused(request, come, 503, "BodyNotRead")
        if verdict.outcome is Outcome.BLOCKED:
            rule = next((rule for rule in self.program.selection.rules if rule.id == verdict.decided_by), None)
            rule = rule if verdict.reason != "CredentialUnavailable" else None
            return refused(request, come, verdict.status, verdict.reason, rule, verdict.body)
        return forwarded(come, request, verdict)


def not_readable(configured, come, request):
    """How a request ends whose body must be read, and cannot be."""
    body = configured.body
    if configured.override:
        return bool(come.trailers)
    if configured.says and body == MODE.BUFFERED:
        # Without a byte of a body Envoy asks about the trailers, when headers cannot be changed any more.
        return not come.chunks and (True if configured.trailers else Undecided)
    if configured.sends_ahead:
        # The end of the body is not said where trailers follow, and they wait for an answer.
        return bool(come.trailers) and len(request.body) <= MAX_BODY and Undecided
    return body != MODE.FULL_DUPLEX_STREAMED


def refused(request, come, status, reason, rule=None, body=None):
    if body is not None:
        return Answered(status=status, body=body.encode("latin-1"), content_type="text/plain")
    number = dict(come.lines).get("x-groyne-id", "")
    text = standard_body(host=request.authority, method=request.method, path=request.path, reason=reason, rule=rule, request_id=number)
    return Answered(status=status, body=text.encode(), content_type="application/json")


def forwarded(come, request, verdict):
    headers = {name: value for name, value in come.lines if name != "transfer-encoding"} | dict(verdict.set_headers)
    headers = {name: value for name, value in headers.items() if name not in verdict.remove_headers}
    if verdict.target is not None:
        headers[":path"] = verdict.target
    return Forwarded(headers=headers, body=request.body, verdict=verdict.outcome.value)


async def answered(desk, configured, come):
    try:
        return await Envoy(configured, come).ask(desk)
    except Undecided:
        return Undecided


@pytest.mark.parametrize("shard", range(SHARDS))
def test_ext_proc_answers_what_the_policy_says(shard):
    """Status, body, headers, path, and the body that goes on."""
    seen = asyncio.run(compare(range(shard, PROGRAMS, SHARDS)))
    assert {"blocked", "mutated", "passthrough"} <= seen


async def compare(seeds):
    seen = set()
    for seed in seeds:
        drawn = Drawn(seed)
        for number, raw in enumerate(drawn.requests()):
            request = drawn.normalised(raw)
            if isinstance(request, Malformed):
                continue
            come = drawn.shape(request, http2=raw.http2)
            for configured in FILTERS:
                found = await answered(drawn.desks[configured.override], configured, come)
                wanted = drawn.expected(configured, come, raw, request)
                assert found == wanted, (seed, number, configured, come, drawn.program.manifests)
                seen.add(found.verdict if isinstance(found, Forwarded) else "blocked")
    return seen


def test_what_envoy_would_refuse_is_refused_here_too():
    """In a gateway whose Envoy normalises nothing: the request as it came, every line by itself."""
    assert asyncio.run(compare_as_they_come(range(1000, 1000 + PROGRAMS))) >= 5


async def compare_as_they_come(seeds):
    malformed = 0
    for seed in seeds:
        drawn = Drawn(seed)
        for raw in drawn.requests():
            if not raw.http2 or raw.method == "CONNECT" or any(name in NOT_SEEN for name, _ in raw.headers):
                continue
            pseudo = ((":method", raw.method), (":scheme", raw.scheme), (":authority", raw.authority), (":path", raw.path))
            come = Arriving(lines=(*pseudo, *raw.headers), chunks=(raw.body,) if raw.body else (), attributes=KNOWN)
            found = await answered(drawn.desks[False], Filter(body=MODE.BUFFERED), come)
            verdict = drawn.verdict(raw)
            if verdict.outcome is not Outcome.BLOCKED:
                assert found.verdict == verdict.outcome.value, (seed, raw)
                continue
            assert isinstance(found, Answered), (seed, raw)
            assert found.status == verdict.status
            assert verdict.body is not None or json.loads(found.body)["reason"] == verdict.reason
            malformed += verdict.reason.startswith(("Malformed", "Ambiguous", "Escaped"))
    return malformed
