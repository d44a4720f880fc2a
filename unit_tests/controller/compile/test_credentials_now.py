"""A Secret that cannot be made anew keeps everything but credentials that are not what they were."""

import json

from controller.compile.credentials_now import credentials_now
from controller.compile.secret import CONTENT_HASH
from controller.compile.template import select
from dataplane.compile import secret_files
from dataplane.secrets import CREDENTIAL_FILE
from policy.program import SecretKeyRef
from unit_tests.controller.compile.build import profile, program, template, token

REF = SecretKeyRef(namespace="team-a", name="keys", key="apiKey")
SELECTION = select(template(), program(profile("key", [token("api.test")])))


def files(value: str) -> dict[str, bytes]:
    made = secret_files(SELECTION, {REF: value}, ())
    return {"rds-plain.json": b"{}", "ca.crt": b"pem", **{name: text.encode() for name, text in made.items()}}


def revealed(secret) -> dict[str, bytes]:
    return {name: value.reveal() for name, value in secret.data.items()}


def test_where_nothing_has_changed_every_byte_and_the_hash_stay():
    one, again = (credentials_now(files("value"), SELECTION, {REF: "value"}) for _ in range(2))
    assert revealed(one) == files("value")
    assert one.metadata["annotations"][CONTENT_HASH] == again.metadata["annotations"][CONTENT_HASH]


def test_a_rotated_credential_is_exchanged():
    assert revealed(credentials_now(files("old-value"), SELECTION, {REF: "new-value"})) == files("new-value")


def test_a_credential_that_is_no_more_leaves_an_empty_file_behind_and_nothing_else_moves():
    """Envoy keeps what was in a file that vanishes."""
    after = revealed(credentials_now(files("old-value"), SELECTION, {}))
    assert set(after) == set(files("old-value"))
    (name,) = [name for name in after if name.startswith(CREDENTIAL_FILE)]
    assert json.loads(after[name])["resources"][0]["generic_secret"]["secret"]["inline_string"] == ""
    assert {key: value for key, value in after.items() if key != name} == {
        key: value for key, value in files("old-value").items() if key != name
    }


def test_a_file_that_a_hand_has_broken_gives_no_credential():
    broken = {
        f"{CREDENTIAL_FILE}x.json": b"\xff s3cr3t",
        f"{CREDENTIAL_FILE}y.json": b"[]",
        f"{CREDENTIAL_FILE}z.json": b'{"resources": 7}',
    }
    after = revealed(credentials_now(broken, SELECTION, {}))
    assert {json.dumps(json.loads(value)) for value in after.values()} == {'{"resources": []}'}


def test_no_value_shows_in_a_repr():
    assert "s3cr3t" not in repr(credentials_now(files("s3cr3t"), SELECTION, {REF: "s3cr3t"}))
