"""The standard body of a refusal: the same keys in the same order, whoever writes it."""

import json

from policy.refusal import standard_body
from unit_tests.policy.profiles import compiled, rule


def test_keys_are_all_there_and_sorted():
    blocked = compiled(rule("no-delete")).rules[0]
    body = standard_body(host="h.test", method="GET", path="/a", reason="Blocked", rule=blocked, request_id="1")
    assert body == (
        '{"error":"request_refused","host":"h.test","method":"GET","path":"/a","profile":"default/p",'
        '"reason":"Blocked","request_id":"1","rule":"no-delete"}'
    )


def test_what_the_client_sent_cannot_break_out_of_its_string():
    body = standard_body(host='"},\n', method="GET", path="/\xff\xc3\xa9", reason="MalformedHost")
    assert json.loads(body)["host"] == '"},\n'
    assert json.loads(body)["path"] == "/\ufffdé"
    assert json.loads(body)["rule"] == ""
