"""A book of profiles: what is in force, what it selects, and what survives a mistake."""

from daemon.profile_book import ProfileBook, ref_of, version_from
from policy.program import Identity
from unit_tests.controller.raw_objects import global_profile, profile, rule

AGENT = Identity(namespace="team-a", labels=(("app", "agent"),))
BROKEN = [rule(domain="https://not-a-host/")]


def names(book: ProfileBook) -> list[str]:
    return [found.ref.name for found in book.select(AGENT).profiles]


def test_a_profile_holds_for_the_labels_that_it_selects_in_its_namespace():
    book = ProfileBook()
    for raw in (profile("mine"), profile("theirs", "team-b"), profile("other", labels={"app": "web"}), global_profile()):
        book.put(raw)
    assert names(book) == ["house", "mine"]


def test_a_change_of_status_alone_is_no_change():
    book = ProfileBook()
    assert book.put(profile())
    assert book.put({**profile(version="2"), "status": {"conditions": []}}) is None


def test_an_edit_says_what_was_and_what_is_in_force():
    book = ProfileBook()
    book.put(profile(labels={"app": "agent"}))
    change = book.put(profile(labels={"app": "web"}, generation=2))
    assert change.before.selector.matches({"app": "agent"})
    assert change.after.selector.matches({"app": "web"})


def test_an_annotation_of_ours_is_a_change_though_the_generation_stays():
    book = ProfileBook()
    book.put(profile())
    assert book.put(profile(annotations={"groyne.dev/passthrough-domains": "x.example"}))
    assert book.put(profile(annotations={"groyne.dev/passthrough-domains": "x.example", "their.own/note": "n"})) is None


def test_a_profile_that_stops_compiling_stays_in_force_as_it_was():
    book = ProfileBook()
    good = profile(rules=[rule(domain="old.example.com")])
    book.put(good)
    book.put(profile(rules=BROKEN, generation=2))
    entry = book.get(ref_of(good))
    assert entry.last_good_in_force
    assert entry.version.generation == 1
    assert [domain.text for found in book.select(AGENT).rules for match in found.match for domain in match.domains] == ["old.example.com"]


def test_an_object_that_was_made_anew_has_no_past():
    book = ProfileBook()
    book.put(profile())
    book.put(profile(rules=BROKEN, generation=1, uid="another"))
    assert names(book) == []


def test_a_deleted_profile_holds_no_more():
    book = ProfileBook()
    book.put(profile())
    assert book.remove(ref_of(profile())).before is not None
    assert names(book) == []
    assert book.remove(ref_of(profile())) is None


def test_what_a_secret_kept_goes_on_after_a_restart():
    before = ProfileBook()
    before.put(profile(rules=[rule(domain="old.example.com")]))
    kept = before.get(ref_of(profile())).version.source
    book = ProfileBook()
    book.put(profile(rules=BROKEN, generation=2))
    assert book.lacking("team-a") == {ref_of(profile())}
    assert book.restore(version_from(kept))
    assert names(book) == ["limits"]
    assert book.get(ref_of(profile())).last_good_in_force


def test_nothing_kept_replaces_what_compiles_or_belongs_to_another_object():
    kept = ProfileBook()
    kept.put(profile())
    version = version_from(kept.get(ref_of(profile())).version.source)
    compiling, another = ProfileBook(), ProfileBook()
    compiling.put(profile(generation=2))
    another.put(profile(rules=BROKEN, uid="another"))
    assert not compiling.restore(version)
    assert not another.restore(version)


def test_an_object_that_bypassed_admission_is_a_problem_and_no_exception():
    book = ProfileBook()
    for spec in (None, [], "x", {"selector": 3}, {"selector": {}, "rules": [None]}, {"rules": {"a": 1}}):
        book.put({**profile("bad"), "spec": spec, "metadata": {"name": "bad", "namespace": "team-a", "uid": "u", "generation": id(spec)}})
        assert any(problem.fatal for problem in book.get(ref_of(profile("bad"))).problems)
    book.put(profile("good"))
    assert names(book) == ["good"]


def test_the_source_of_a_version_says_nothing_that_does_not_bear_on_its_meaning():
    raw = profile(annotations={"kubectl.kubernetes.io/last-applied-configuration": "{}", "groyne.dev/passthrough-domains": "a.example"})
    raw["metadata"]["managedFields"] = [{}]
    raw["status"] = {"conditions": []}
    book = ProfileBook()
    book.put(raw)
    source = book.get(ref_of(raw)).version.source
    assert set(source) == {"apiVersion", "kind", "metadata", "spec"}
    assert source["metadata"]["annotations"] == {"groyne.dev/passthrough-domains": "a.example"}
    assert "resourceVersion" not in source["metadata"]
