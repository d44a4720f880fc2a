"""A book of templates: a profile finds those that it selects, and namesakes by hash find each other."""

from controller.template_book import TemplateBook
from daemon.profile_book import ProfileBook
from kube.objects import Key
from unit_tests.controller.raw_objects import global_profile, profile, template


def compiled(raw):
    return ProfileBook().put(raw).after


def test_a_profile_finds_the_templates_of_its_namespace_that_it_selects():
    book = TemplateBook()
    for raw in (template("one"), template("two", labels={"app": "web"}), template("one", "team-b")):
        book.put(raw)
    assert book.selected_by(compiled(profile())) == {Key("team-a", "one")}
    assert book.selected_by(compiled(global_profile())) == {Key("team-a", "one"), Key("team-b", "one")}


def test_a_template_that_cannot_be_read_keeps_its_identity():
    book = TemplateBook()
    book.put(template("one"))
    book.put({**template("one"), "spec": "nonsense"})
    assert book.selected_by(compiled(profile())) == {Key("team-a", "one")}


def test_a_removed_template_is_selected_no_more():
    book = TemplateBook()
    book.put(template("one"))
    book.remove(Key("team-a", "one"))
    assert book.selected_by(compiled(profile())) == frozenset()
    assert len(book) == 0


def test_templates_of_one_hash_are_told_of_each_other(monkeypatch):
    """The hash has 32 bits; here it has none."""
    monkeypatch.setattr("controller.template_book.name_hash", lambda name: "00000000")
    monkeypatch.setattr("policy.template_hashes.name_hash", lambda name: "00000000")
    book = TemplateBook()
    assert book.put(template("one")) == frozenset()
    assert book.put(template("two")) == {Key("team-a", "one")}
    assert book.collision(Key("team-a", "one")).reason == "HashCollision"
    assert book.remove(Key("team-a", "two")) == {Key("team-a", "one")}
    assert book.collision(Key("team-a", "one")) is None
