"""Which spans there are, whose traces they join, and what they say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.events import Headers, Refuse
from extproc.tracing import Tracer, joined
from unit_tests.extproc.audit.outcomes import resolved
from unit_tests.policy.profiles import block, rule, token

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CONTEXT = f"00-{TRACE}-{PARENT}-01"


class Random:
    def __init__(self):
        self.given = 0

    def __call__(self, length):
        self.given += 1
        return self.given.to_bytes(length, "big")


def tracer(*, ratio=1.0, capacity=8):
    lost = []
    made = Tracer(ratio=ratio, clock=lambda: 5.0, offset=lambda: 1_000.0, random=Random(), lost=lost.append, capacity=capacity)
    return made, lost


def only(made):
    (span,) = made.take(10)
    return span


def test_a_decision_is_a_span_with_its_rule_and_actions():
    made, _ = tracer()
    made.tell(resolved(rule("first", headerManipulation={"set": [{"name": "x-a", "value": "1"}]}), rule("never", block=block())))
    span = only(made)
    assert (span.outcome, span.reason, span.rule) == ("blocked", "Blocked", "default/p/never")
    assert span.actions == ("headerManipulation", "block")
    assert (span.trace, span.parent, span.span) == ((1).to_bytes(16, "big"), b"", (2).to_bytes(8, "big"))


def test_it_joins_the_trace_that_the_request_names():
    made, _ = tracer()
    made.tell(resolved(rule("never", block=block()), headers=[("traceparent", CONTEXT)]))
    span = only(made)
    assert (span.trace.hex(), span.parent.hex()) == (TRACE, PARENT)


@pytest.mark.parametrize(
    "said",
    [
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}{PARENT}-01",
        "",
        "secret",
    ],
)
def test_what_is_no_context_begins_a_trace_of_its_own(said):
    assert joined([("traceparent", said)]) is None


def test_a_later_version_may_say_more_and_two_contexts_are_none():
    assert joined([("traceparent", f"01-{TRACE}-{PARENT}-01-more")]) is not None
    assert joined([("traceparent", CONTEXT), ("traceparent", CONTEXT)]) is None


@given(st.text(max_size=300))
def test_nothing_that_a_sandbox_writes_there_is_an_error(said):
    found = joined([("traceparent", said)])
    assert found is None or (len(found[0]), len(found[1])) == (16, 8)


def test_the_ratio_is_of_traces_whatever_the_sandbox_says_of_sampling():
    made, _ = tracer(ratio=0.5)
    for trace in (TRACE, TRACE[:-14] + "0" * 13 + "1", TRACE[:-14] + "f" * 14):
        made.tell(resolved(rule("never", block=block()), headers=[("traceparent", f"00-{trace}-{PARENT}-01")]))
    assert {span.trace.hex()[-1] for span in made.take(10)} == {"c", "1"}
    made, _ = tracer(ratio=0.0)
    made.tell(resolved(rule("never", block=block()), headers=[("traceparent", CONTEXT)]))
    assert len(made) == 0


def test_what_waits_is_bounded_and_the_rest_is_counted():
    made, lost = tracer(capacity=2)
    for _ in range(5):
        made.tell(resolved(rule("never", block=block())))
    assert len(made) == 2
    assert sum(lost) == 3


def test_who_was_turned_away_before_any_rule_has_a_span_too():
    made, _ = tracer()
    refused = Refuse(status=403, body=b"", content_type="", reason="IdentityUnknown", rule="")
    made.turned_away(Headers(lines=(("traceparent", CONTEXT),)), refused)
    span = only(made)
    assert (span.outcome, span.reason, span.rule, span.trace.hex()) == ("blocked", "IdentityUnknown", "", TRACE)


def test_a_reason_that_is_none_of_the_fixed_words_is_other():
    made, _ = tracer()
    made.turned_away(Headers(lines=()), Refuse(status=403, body=b"", content_type="", reason="made-up", rule=""))
    assert only(made).reason == "other"


def test_times_are_those_of_the_wall():
    made, _ = tracer()
    outcome = resolved(rule("key", tokenTransformation=token()), issued={"key": {"apiKey": "k"}})
    made.tell(outcome)
    span = only(made)
    assert span.begin == 1_000_000_000_000
    assert span.end == span.begin
