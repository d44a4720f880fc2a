"""The store against the simplest one that could be: a dict, and indexes found by looking at everything."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.objects import Key, Raw, key_of, labels
from kube.store import Store
from unit_tests.kube.scripted import config_map

NAMES = st.sampled_from(["a", "b", "c", "d"])
OBJECTS = st.builds(
    lambda name, namespace, version, uid, colour: {
        **config_map(name, version, uid=uid),
        "metadata": {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": version, "labels": colour},
    },
    NAMES,
    st.sampled_from(["", "x", "y"]),
    st.sampled_from(["1", "2"]),
    st.sampled_from(["u", "v"]),
    st.sampled_from([{}, {"colour": "red"}, {"colour": "blue"}, {"colour": "red", "also": "blue"}]),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), OBJECTS),
        st.tuples(st.just("remove"), OBJECTS),
        st.tuples(st.just("replace"), st.lists(OBJECTS, max_size=6, unique_by=key_of)),
    )
)


def colours(raw: Raw) -> list[str]:
    return list(labels(raw).values())


@given(steps=STEPS)
def test_the_store_is_a_dict_with_indexes(steps: list[Any]) -> None:
    store, naive = Store({"colour": colours}), dict[Key, Raw]()
    for do, given_ in steps:
        if do == "put":
            assert store.put(given_) == naive.get(key_of(given_))
            naive[key_of(given_)] = given_
        elif do == "remove":
            assert store.remove(key_of(given_)) == naive.pop(key_of(given_), None)
        else:
            replaced(store, naive, given_)
        agree(store, naive)


def replaced(store: Store, naive: dict[Key, Raw], items: list[Raw]) -> None:
    """Folding the changes over what was there gives what is there; and there are no more of them than needed."""
    changes = store.replace(items)
    folded = dict(naive)
    for old in changes.removed:
        assert folded.pop(key_of(old)) == old
    for new in changes.added:
        assert key_of(new) not in folded
        folded[key_of(new)] = new
    for old, new in changes.changed:
        assert folded[key_of(new)] == old
        assert old["metadata"]["uid"] == new["metadata"]["uid"]
        assert old != new
        folded[key_of(new)] = new
    assert {key: ident(raw) for key, raw in folded.items()} == {key_of(raw): ident(raw) for raw in items}
    naive.clear()
    naive.update(folded)


def ident(raw: Raw) -> tuple[str, str]:
    return raw["metadata"]["uid"], raw["metadata"]["resourceVersion"]


def agree(store: Store, naive: dict[Key, Raw]) -> None:
    assert store.keys() == naive.keys()
    assert len(store) == len(naive)
    assert all(store.get(key) is raw and key in store for key, raw in naive.items())
    for namespace in ("", "x", "y", "none"):
        assert {key_of(raw) for raw in store.list(namespace)} == {key for key in naive if key.namespace == namespace}
    for value in ("red", "blue", "none"):
        expected = {key for key, raw in naive.items() if value in colours(raw)}
        assert [key_of(raw) for raw in store.by_index("colour", value)] == sorted(expected)


def test_an_object_that_an_indexer_fails_on_is_in_the_store_and_under_no_value(caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, without what the object holds."""
    store = Store({"broken": lambda raw: [raw["data"]["hunter2"]], "name": lambda raw: [raw["metadata"]["name"]]})
    for name in ("a", "b"):
        store.put(config_map(name))
    assert len(store) == 2
    assert [key_of(raw) for raw in store.by_index("name", "b")] == [Key("default", "b")]
    assert caplog.text.count("index broken") == 1
    assert "hunter2" not in caplog.text


def test_an_object_that_breaks_its_indexer_later_leaves_the_values_it_had() -> None:
    store = Store({"data": lambda raw: [raw["data"]["v"]]})
    store.put(config_map("a", v="x"))
    store.put(config_map("a", 2))
    assert store.by_index("data", "x") == []


@pytest.mark.parametrize("values", [None, 7, [[]], [{}]])
def test_an_indexer_may_give_anything(values: Any) -> None:
    store = Store({"any": lambda raw: values})
    store.put(config_map("a"))
    assert store.get(Key("default", "a")) is not None


def test_what_has_no_version_counts_as_changed() -> None:
    store, raw = Store(), config_map("a", "")
    store.put(raw)
    assert len(store.replace([config_map("a", "")]).changed) == 1


def test_unchanged_objects_are_kept_as_they_are() -> None:
    store, first = Store(), config_map("a", 5)
    store.put(first)
    changes = store.replace([config_map("a", 5)])
    assert (changes.added, changes.changed, changes.removed) == ([], [], [])
    assert store.get(Key("default", "a")) is first
