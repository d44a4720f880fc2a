"""Attempts by what is written: manifests that mean to say something else to Envoy, to a template, to YAML; and edits while it runs."""

import base64
import json
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from e2e.breakout import policies
from e2e.breakout.laptop import Laptop, allowed, canary, laptop, leaks, refused, refused_each, wait_until
from e2e.breakout.raw import Stream, request, secure
from e2e.breakout.world import World, write

pytest_plugins = ("e2e.breakout.fixtures",)
pytestmark = pytest.mark.envoy

PROFILE = """
apiVersion: agents.kruise.io/v1alpha1
kind: SecurityProfile
metadata: {{name: p{number}}}
spec:
  selector: {{}}
  rules:
  - name: rule
    match: [{match}]
    actions: {actions}
"""
ANY_MATCH, NO_ACTIONS = {"domains": ["api.ok.test"]}, {"block": {}}


def profile(number: int, match: object = ANY_MATCH, actions: object = NO_ACTIONS) -> str:
    return PROFILE.format(number=number, match=json.dumps(match), actions=json.dumps(actions))


def checked(outside: World, directory: Path, *, limit: float = 20) -> tuple[list[dict], float, int]:
    """The problems that `groyne check` finds as the ordinary user, how long it took, and its exit code."""
    argv = [outside.user.python, "-m", "groyne", "check", directory, "--output", "json"]
    before = time.monotonic()
    with outside.start(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        out, err = process.communicate(timeout=limit)
    taken = time.monotonic() - before
    assert "Traceback" not in err + out, err
    read = json.loads(out)
    return list(read["problems"] if isinstance(read, dict) else read), taken, process.returncode


def folder(outside: World, name: str) -> Path:
    path = outside.directory / name
    path.mkdir(mode=0o755)
    return outside.own(path)


def each_is_a_problem(outside: World, name: str, profiles: dict[str, str]) -> None:
    """One file each, so that every problem can be told apart."""
    directory = folder(outside, name)
    write(directory, {f"{number:03}.yaml": text for number, text in enumerate(profiles.values())})
    found, _, code = checked(outside, directory)
    named = {Path(problem["file"]).name for problem in found}
    missing = [kind for number, kind in enumerate(profiles) if f"{number:03}.yaml" not in named]
    assert not missing, (missing, found)
    assert code == 1


def token(value_template: str = "Bearer {{ .Token }}", header: str | None = None) -> dict:
    change = {"credentialRef": {"secret": {"name": "key"}}, "apiKey": {"valueTemplate": value_template}}
    if header is not None:
        change["targetHeader"] = header
    return {"tokenTransformation": change}


TEMPLATES = (
    "{{ .Profile }}", '{{ env "HOME" }}', "{{ call .X }}", '{{ template "x" }}', "{{ .Token.__class__ }}", "{{ .Token | printf }}",
    "{{ .Token }}{{", "{{ . }}", "{{ .Token.Value }}", '{{ index . "Token" }}', "{{ define }}", "{{ .token }}",
    "{{/* x */}}", "{{ range .Token }}x{{ end }}",
    "{{ .Token }}\r\nx-split: 1", "{{ .Token }}\x00", "{{ .Request.Headers.authorization }}", "no token at all",
)  # fmt: skip


def test_templates_have_the_token_and_nothing_else(outside: World) -> None:
    each_is_a_problem(outside, "templates", {text: profile(n, actions=token(text)) for n, text in enumerate(TEMPLATES)})


RESERVED = (
    "host", ":authority", ":path", ":method", "content-length", "transfer-encoding", "connection", "te", "upgrade", "x-envoy-retry-on",
    "x-groyne-path", "proxy-authorization", "Host", "x y", "x:y", "x\r\ny", "", "x\x00",
)  # fmt: skip


def test_headers_that_frame_or_route_cannot_be_changed(outside: World) -> None:
    """As a credential's target, set and removed: each is refused when compiling."""
    profiles = {}
    for name in RESERVED:
        profiles[f"target {name!r}"] = profile(len(profiles), actions=token(header=name))
        profiles[f"set {name!r}"] = profile(len(profiles), actions={"headerManipulation": {"set": [{"name": name, "value": "x"}]}})
        profiles[f"remove {name!r}"] = profile(len(profiles), actions={"headerManipulation": {"remove": [name]}})
    profiles.pop("target ''")  # an empty target is the default one
    each_is_a_problem(outside, "reserved", profiles)


HOSTILE = (
    'evil"}]', "a\nb.test", "a*b.test", "*.*.test", "a\x00.test", "x" * 4096 + ".test", "%REQ(x)%", "http://evil.test",
    "a b", "*evil.test", "",
)  # fmt: skip


def test_domains_cannot_say_something_else_to_envoy(outside: World) -> None:
    each_is_a_problem(outside, "domains", {text[:40]: profile(n, {"domains": [text]}) for n, text in enumerate(HOSTILE)})


LITERAL_PATHS = ("/a'b", "/a$1", "/*", "/[a-z]", "/.*", "/a%22%7D]", "/a%7Bb%7D", "/a%7Cb", "/%25REQ(x)%25", "/(a+)+")
NO_PATHS = ('/a"}]', "/a{b}", "/a\\1", "/(?i)x", "/a|b", "/a b", "/a\nb", "/a\x00", "a", "", "/x/../a", "//a", "/" + "x" * 5000)


def test_paths_that_no_request_has_are_problems(outside: World) -> None:
    paths = {text[:40]: {"domains": ["api.ok.test"], "paths": [{"type": "Prefix", "value": text}]} for text in NO_PATHS}
    each_is_a_problem(outside, "no-paths", {name: profile(n, match) for n, (name, match) in enumerate(paths.items())})


def test_paths_mean_just_what_they_say(outside: World) -> None:
    """Pattern characters in a prefix block that very path and nothing else, also in Envoy."""
    match = {"domains": ["api.ok.test"], "paths": [{"type": "Prefix", "value": text} for text in LITERAL_PATHS]}
    with laptop(outside, "paths", {"policy.yaml": profile(1, match)}, canary()) as running:
        refused_each(running, {path: (lambda laptop, path=path: laptop.plain(request(path, "api.ok.test"))) for path in LITERAL_PATHS})
        for path in ("/x", "/b", "/A", "/abc", "/aaa"):
            allowed(running, lambda laptop, path=path: laptop.plain(request(path, "api.ok.test")), "api")


def secret_bytes(value: bytes) -> str:
    return f"apiVersion: v1\nkind: Secret\nmetadata: {{name: key}}\ndata: {{apiKey: {base64.b64encode(value).decode()}}}\n"


BAD_CREDENTIALS = {
    "a split header": b"CANARY\r\nx-split: 1", "a newline inside": b"CANARY\nx", "two at the end": b"CANARY\r\n\r\n", "NUL": b"CANARY\x00",
    "no UTF-8": b"CANARY\xff", "20 KiB": b"CANARY" * 3500, "a control character": b"CANARY\x1b[2J", "nothing": b"", "only a newline": b"\n",
}  # fmt: skip


def test_credentials_that_are_no_header_values_go_nowhere(outside: World) -> None:
    """A problem each, the request is refused, and what is wrong with a value is said without it."""
    for number, (kind, value) in enumerate(BAD_CREDENTIALS.items()):
        directory = folder(outside, f"credential{number}")
        write(directory, {"policy.yaml": profile(1, actions=token()), "secret.yaml": secret_bytes(value)})
        found, _, code = checked(outside, directory)
        assert code == 1, kind
        assert "CANARY" not in json.dumps(found), kind
    credential = canary()
    files = {"policy.yaml": profile(1, actions=token()), "secret.yaml": secret_bytes(credential.encode() + b"\r\nx-split: 1")}
    with laptop(outside, "split", files, credential) as running:
        refused(running, lambda laptop: laptop.plain(request("/v1/x", "api.ok.test")), 503)
        said = running.stop()
        assert not leaks(running)
    assert credential not in said


def test_a_credentials_final_newline_and_percent_signs(outside: World) -> None:
    credential = canary() + "%REQ(host)%100%%"
    files = {"policy.yaml": profile(1, actions=token()), "secret.yaml": secret_bytes(credential.encode() + b"\n")}
    with laptop(outside, "percent", files, credential) as running:
        visit = allowed(running, lambda laptop: laptop.plain(request("/v1/x", "api.ok.test")), "api")
        assert f"authorization: Bearer {credential}\r\n".encode() in visit.raw


def alias_bomb() -> str:
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    lines += [f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)]
    return "\n".join(lines)


BOMBS = {
    "aliases": alias_bomb(),
    "an alias of itself": "a: &a [*a]",
    "a Python object": "!!python/object/apply:os.system ['touch /tmp/groyne-was-here']",
    "a Python name": "kind: !!python/name:os.system",
    "100 000 documents": "---\nkind: X\n" * 100_000,
    "depth": "[" * 20_000 + "]" * 20_000,
    "a merge of itself": "a: &a\n  <<: *a",
    "an int of a million digits": "kind: " + "9" * 1_000_000,
}


@pytest.mark.parametrize("kind", [*BOMBS, "a FIFO", "1 GiB", "a directory's link to itself", "a device"])
def test_files_that_are_bombs(outside: World, kind: str, tmp_path: Path) -> None:
    """Refused with the file's name in about two seconds, in little memory, and nothing in them is carried out."""
    directory = folder(outside, f"bomb-{tmp_path.name}")
    file = directory / "bomb.yaml"
    if kind in BOMBS:
        file.write_text(BOMBS[kind])
    elif kind == "a FIFO":
        os.mkfifo(file, 0o666)
    elif kind == "1 GiB":
        with file.open("wb") as big:
            big.truncate(1 << 30)
    elif kind == "a device":
        file.symlink_to("/dev/zero")
    else:
        (directory / "bomb.yaml").symlink_to(directory)
        (directory / "good.yaml").write_text(profile(1))
    found, taken, _ = checked(outside, directory)
    assert kind.startswith("a directory") or any(Path(problem["file"]).name == "bomb.yaml" for problem in found), found
    assert taken < 5
    assert not Path("/tmp/groyne-was-here").exists()  # noqa: S108 - what the bomb would make


@pytest.fixture(scope="module")
def edited(outside: World) -> "object":
    credential = canary()
    with laptop(outside, "edited", policies.files(policies.OPEN, credential), credential) as running:
        yield running


IN_FORCE = "the edited policy is in force"


def settled(running: Laptop) -> None:
    """Until nothing more is said of earlier edits."""
    said = ""
    while said != (said := running.said.read_text()):
        time.sleep(0.6)


def admin(running: Laptop) -> int:
    return running.plain(request("/admin", "api.ok.test")).status


def test_an_update_that_does_not_compile_leaves_the_block_in_force(edited: Laptop) -> None:
    """Nor does a second, unrelated update bring it out of force."""
    assert admin(edited) == 403
    edited.edit({"policy.yaml": policies.OPEN.replace('value: "^(a+)+$"', 'value: "("')})
    wait_until(lambda: "last good version" in edited.said.read_text())
    assert admin(edited) == 403
    edited.edit({"more.yaml": profile(2, {"domains": ["free.ok.test"]})})
    wait_until(lambda: edited.plain(request("/", "free.ok.test")).status == 403)
    assert admin(edited) == 403
    edited.edit({"policy.yaml": "apiVersion: [not, yaml"})
    time.sleep(1)
    assert admin(edited) == 403
    edited.edit({"policy.yaml": policies.OPEN, "more.yaml": ""})
    wait_until(lambda: edited.plain(request("/", "free.ok.test")).status == 200)


def test_a_rule_holds_for_connections_that_are_open(edited: Laptop) -> None:
    """An intercepted connection from before the edit: its next request is refused within a second; a client's old trust still holds."""
    context = edited.context("http/1.1")
    stream, _ = edited.tunnel("api.ok.test:443")
    inner = Stream(secure(stream.socket, context, "api.ok.test"))
    assert inner.send(request("/v1/x", "api.ok.test")).answer().status == 200
    settled(edited)
    told = edited.said.read_text().count(IN_FORCE)
    stop = "\n  - name: stop\n    match: [{domains: [api.ok.test], paths: [{type: Prefix, value: /v1}]}]\n    actions: {block: {}}\n"
    edited.edit({"policy.yaml": policies.OPEN.replace("  rules:\n", "  rules:" + stop, 1)})
    changed = time.monotonic()
    status = 200
    while status == 200 and time.monotonic() < changed + 10:
        status = inner.send(request("/v1/x", "api.ok.test")).answer().status
    assert status == 403
    assert time.monotonic() < changed + 3
    mine = "\n  - name: mine\n    match: [{domains: [free.ok.test], paths: [{type: Prefix, value: /y}]}]\n    actions: {block: {}}\n"
    # The edit before has been told of by now; until this one is, a tunnel may still be ended as one from before it.
    wait_until(lambda: edited.said.read_text().count(IN_FORCE) > told)
    told = edited.said.read_text().count(IN_FORCE)
    edited.edit({"policy.yaml": policies.OPEN.replace("  rules:\n", "  rules:" + mine, 1)})
    wait_until(lambda: edited.said.read_text().count(IN_FORCE) > told)
    assert edited.tls("free.ok.test:443", "free.ok.test", request("/y", "free.ok.test"), verify=False).status == 403
    again, _ = edited.tunnel("free.ok.test:443")
    assert Stream(secure(again.socket, context, "free.ok.test")).send(request("/x", "free.ok.test")).answer().status == 200
    edited.edit({"policy.yaml": policies.OPEN})
    wait_until(lambda: edited.plain(request("/v1/x", "api.ok.test")).status == 200)


def test_a_new_value_of_a_credential_is_the_only_one_after_a_moment(edited: Laptop) -> None:
    """Under load: every request carries the old value or the new one, never none, and after a second never the old one."""
    old, new = edited.canary, canary()
    seen: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            seen.append(edited.plain(request("/v1/x", "api.ok.test")).status)

    before = len(edited.world.recorder.visits)
    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.3)
    edited.edit({"secret.yaml": policies.secret(new)})
    changed = time.monotonic()
    time.sleep(2.5)
    stop.set()
    asking.join()
    lines = [line for visit in edited.world.recorder.visits for line in carried(bytes(visit.raw), visit.moments)]
    recent = [(moment, value) for moment, value in lines if moment > changed + 1]
    assert set(seen) == {200}
    assert len(edited.world.recorder.visits) >= before
    assert recent
    assert {value for _, value in recent} == {new.encode()}
    edited.canary = new
    assert not leaks(edited)
    edited.canary = old
    assert not leaks(edited)


def carried(raw: bytes, moments: list[float]) -> list[tuple[float, bytes]]:
    """The credential of each request on a connection, with its moment: one piece is one request here."""
    values = [line.partition(b"Bearer ")[2] for line in raw.split(b"\r\n") if line.lower().startswith(b"authorization: bearer")]
    return list(zip(moments[-len(values) :], values, strict=False)) if values else []


def test_a_credential_that_is_taken_away_is_gone_at_once(edited: Laptop) -> None:
    (edited.policy / "secret.yaml").unlink()
    changed = time.monotonic()
    wait_until(lambda: edited.plain(request("/v1/x", "api.ok.test")).status == 503)
    assert time.monotonic() < changed + 3
    edited.edit({"secret.yaml": policies.secret(edited.canary)})
    wait_until(lambda: edited.plain(request("/v1/x", "api.ok.test")).status == 200)
