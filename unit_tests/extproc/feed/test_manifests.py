"""A directory or a file of manifests as the source of snapshots: what is in it, and what holds on while somebody writes."""

import asyncio
import json

import pytest

from extproc.feed.manifests import ManifestFeed
from policy.program import Identity
from unit_tests.policy.profiles import block, headers, manifest, rule, token

PATIENCE = 20.0
CLOSED = rule("closed", ["closed.test"], block=block())


class Followed:
    """A feed that runs, and the snapshots that came from it."""

    def __init__(self, path):
        self.feed = ManifestFeed(path, self.swap)
        self.snapshots = []
        self.came = asyncio.Event()

    def swap(self, snapshot):
        self.snapshots.append(snapshot)
        self.came.set()

    async def until(self, holds):
        async with asyncio.timeout(PATIENCE):
            while not (self.snapshots and holds(self.snapshots[-1])):
                self.came.clear()
                await self.came.wait()
        return self.snapshots[-1]


def following(path, story):
    """Runs `story` beside the feed."""

    async def main():
        followed = Followed(path)
        running = asyncio.ensure_future(followed.feed.run())
        try:
            await asyncio.wait_for(story(followed), 3 * PATIENCE)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())


def write(path, *objects):
    path.write_text("\n---\n".join(json.dumps(each) for each in objects))


def secret(value, name="openai"):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}, "stringData": {"apiKey": value}}


def rules_of(snapshot, labels=()):
    return [each.name for each in snapshot.view(Identity(labels=labels)).selection.rules]


def test_everything_that_decides_is_read(tmp_path):
    """Profiles, Secrets with their annotations, ConfigMaps, templates."""
    template = {
        "apiVersion": "extensions.agents.x-k8s.io/v1beta1",
        "kind": "SandboxTemplate",
        "metadata": {"name": "coder", "namespace": "default"},
    }
    template["spec"] = {"podTemplate": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "known", "namespace": "default"}, "data": {"a": "b"}}
    write(tmp_path / "all.yaml", manifest(CLOSED), secret("v"), config, template)

    async def story(followed):
        known = (await followed.until(lambda _: True)).sources
        assert [profile.ref.name for profile in known.program.profiles] == ["p"]
        assert known.secrets["default", "openai"].data == {"apiKey": b"v"}
        assert known.config_maps["default", "known"] == {"a": "b"}
        assert ("app", "agent") in known.templates["default", "coder"]

    following(tmp_path, story)


def test_edits_come_into_force_and_what_is_removed_is_gone(tmp_path):
    """A rule, a profile, a credential."""
    write(tmp_path / "a.yaml", manifest(CLOSED))
    write(tmp_path / "b.yaml", manifest(rule("key", tokenTransformation=token()), name="q"), secret("one"))

    async def story(followed):
        snapshot = await followed.until(lambda found: rules_of(found) == ["closed", "key"])
        assert list(snapshot.view(Identity()).credentials.values()) == ["one"]
        write(tmp_path / "b.yaml", manifest(rule("key", tokenTransformation=token()), name="q"), secret("two"))
        await followed.until(lambda found: list(found.view(Identity()).credentials.values()) == ["two"])
        write(tmp_path / "b.yaml", manifest(rule("key", tokenTransformation=token()), name="q"))
        await followed.until(lambda found: not found.view(Identity()).credentials)
        (tmp_path / "a.yaml").unlink()
        await followed.until(lambda found: rules_of(found) == ["key"])

    following(tmp_path, story)


@pytest.mark.parametrize(
    "broken",
    [
        "{",
        '{"apiVersion": "agents.kruise.io/v1alpha1", "kind": "SecurityProfile", "metadata": {"na',
        json.dumps(manifest(CLOSED) | {"spec": {"rules": 1}}),
        json.dumps(manifest(rule("closed", ["not a host"], block=block()))),
        "\x00\xff",
    ],
    ids=["a brace", "cut off", "no profile", "does not compile", "no text"],
)
def test_a_profile_that_is_being_written_stays_in_force(tmp_path, broken):
    """And is exchanged when it can be read; what stands in other files is followed meanwhile."""
    write(tmp_path / "a.yaml", manifest(CLOSED))
    write(tmp_path / "b.yaml", manifest(rule("other"), name="q"))

    async def story(followed):
        await followed.until(lambda found: rules_of(found) == ["closed", "other"])
        (tmp_path / "a.yaml").write_bytes(broken.encode("latin-1"))
        write(tmp_path / "b.yaml", manifest(rule("newer"), name="q"))
        await followed.until(lambda found: rules_of(found) == ["closed", "newer"])
        assert all("closed" in rules_of(each) for each in followed.snapshots)
        write(tmp_path / "a.yaml", manifest(rule("open", headerManipulation=headers("x-a"))))
        await followed.until(lambda found: rules_of(found) == ["open", "newer"])

    following(tmp_path, story)


def test_a_directory_that_is_emptied_changes_nothing(tmp_path):
    """As when a volume is mounted anew: no profile is not the same as no policy."""
    write(tmp_path / "a.yaml", manifest(CLOSED))

    async def story(followed):
        await followed.until(lambda found: rules_of(found) == ["closed"])
        (tmp_path / "a.yaml").unlink()
        (tmp_path / "note.txt").write_text("x")
        write(tmp_path / "a.yaml", manifest(rule("newer")))
        await followed.until(lambda found: rules_of(found) == ["newer"])
        assert all(rules_of(each) for each in followed.snapshots)

    following(tmp_path, story)


def test_one_file_that_is_replaced_says_which_it_is(tmp_path):
    """Whoever writes it beside and renames it can wait until it is in force; what else changes there is not read."""
    path, beside = tmp_path / "all.yaml", tmp_path / "new"
    write(path, manifest(CLOSED))

    async def story(followed):
        first = await followed.until(lambda found: rules_of(found) == ["closed"])
        assert first.sources.version
        write(tmp_path / "other.yaml", manifest(rule("not-read"), name="q"))
        write(beside, manifest(rule("newer")))
        wanted = beside.stat()
        beside.rename(path)
        newer = await followed.until(lambda found: rules_of(found) == ["newer"])
        assert newer.sources.version == f"{wanted.st_ino}.{wanted.st_mtime_ns}"
        assert not any("not-read" in rules_of(each) for each in followed.snapshots)

    following(path, story)


def test_nothing_at_the_path_is_said_at_once(tmp_path):
    """With the path."""
    with pytest.raises(FileNotFoundError, match="nowhere"):
        asyncio.run(ManifestFeed(tmp_path / "nowhere", lambda _: None).run())


def test_what_is_wrong_is_logged_without_what_stands_there(tmp_path, caplog):
    """The file, the line and the reason; never a value, since it may be a Secret that cannot be read."""
    write(tmp_path / "a.yaml", manifest(CLOSED))
    (tmp_path / "b.yaml").write_text('apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {apiKey: "sk-never', encoding="utf-8")

    async def story(followed):
        await followed.until(lambda _: True)

    with caplog.at_level("DEBUG"):
        following(tmp_path, story)
    assert "a manifest has a problem" in caplog.text
    assert "sk-never" not in caplog.text + "".join(str(vars(record)) for record in caplog.records)
