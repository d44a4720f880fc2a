"""A placeholder is at home where its credential goes, and a reason to refuse everywhere else."""

from groyne.placeholders import USUAL_HEADERS, guards_for
from unit_tests.groyne.written import VALUE, read, secret, workspace
from unit_tests.policy.profiles import manifest, rule, token

NAME = "default/openai[apiKey]"


def key(*hosts, name="key", **more):
    return rule(name, match=[{"domains": list(hosts)}], tokenTransformation=token(**more))


def guards(found, placeholder="sk-groyne"):
    return guards_for(found, {NAME: placeholder})


def test_it_is_at_home_on_every_host_of_the_rules_that_use_it(tmp_path):
    (guard,) = guards(workspace(tmp_path, key("a.test", "*.b.test"), key("c.test", name="second"), rule("other", ["d.test"], bypass=True)))
    assert [host.text for host in guard.hosts] == ["*.b.test", "a.test", "c.test"]
    assert (guard.placeholder, guard.credential) == ("sk-groyne", NAME)


def test_the_headers_that_carry_keys_are_looked_at_and_the_rules_own(tmp_path):
    (guard,) = guards(workspace(tmp_path, key("a.test", target="X-My-Key")))
    assert set(guard.headers) == {*USUAL_HEADERS, "x-my-key"}


def test_a_credential_that_no_selected_rule_uses_is_at_home_nowhere(tmp_path):
    profile = manifest(key("a.test"), selector={"matchLabels": {"app": "other"}})
    (guard,) = guards(read(tmp_path, profile, secret(apiKey=VALUE)))
    assert guard.hosts == ()
    assert set(guard.headers) == set(USUAL_HEADERS)


def test_without_placeholders_nothing_is_guarded(tmp_path):
    assert guards_for(workspace(tmp_path, key("a.test")), {}) == ()


def test_guards_come_in_one_order(tmp_path):
    found = workspace(tmp_path, key("a.test"))
    names = [guard.credential for guard in guards_for(found, {"b": "2", "a": "1", NAME: "3"})]
    assert names == sorted(names)
