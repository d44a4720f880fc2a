"""A credential that a provider issues, through `groyne run`: what the provider is shown, what arrives, and where it never stands."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.external.test_faults import POLICY, Run
from e2e.support.provider import ISSUED, Provider, providing
from e2e.support.serving import serving
from e2e.support.upstream import serve
from e2e.support.waiting import until

pytestmark = pytest.mark.timeout(120)
HOST = "api.test"
TOKEN = "the-sandbox-is-who-it-is"
STRICT = POLICY.replace("failStrategy: Allow", "failStrategy: Block")


@contextmanager
def running(directory: Path, provider: Provider, *, token: bool = True) -> Iterator[Run]:
    policy, settings, sandbox = directory / "policy", directory / "settings.yaml", directory / "token.json"
    policy.mkdir()
    (policy / "policy.yaml").write_text(STRICT)
    settings.write_text(json.dumps({"provider-url": provider.url}))
    sandbox.write_text(json.dumps({"accessToken": TOKEN, "sandboxClientId": "client-7"}))
    given = ["--no-isolate", "--audit", str(directory / "audit.jsonl"), "--ext-proc", str(settings)]
    given += ["--sandbox-token", str(sandbox)] if token else []
    with serve() as upstream, serving(policy, resolve=upstream.resolve(HOST), options=given) as found:
        yield Run(serving=found, upstream=upstream, audit=directory / "audit.jsonl")


def test_the_credential_arrives_and_is_asked_for_once(tmp_path):
    """The provider is shown the sandbox's token and which credential; the host gets the credential."""
    with providing() as provider, running(tmp_path, provider) as at:
        assert [at.ask("/v1/a") for _ in range(3)] == [200] * 3
        assert {each.header("authorization") for each in at.upstream.received} == {f"Bearer {ISSUED}"}
        [(shown, asked)] = provider.asked
        assert shown == f"Bearer {TOKEN}"
        assert (asked["credentialProviderName"], asked["resourceId"]) == ("vault", "client-7")


def test_the_audit_names_the_provider_and_no_file_holds_the_credential(tmp_path):
    """Neither a log of the run, nor the audit, nor the environment or command line of ext-proc."""
    with providing() as provider, running(tmp_path, provider) as at:
        assert at.ask("/v1/a") == 200
        until(lambda: at.audit.exists() and at.audit.read_text(), "no audit", 15)
        record = json.loads(at.audit.read_text().splitlines()[0])
        assert (record["engine"], record["verdict"], record["credentials"]) == ("extproc", "mutated", ["provider vault"])
        written = [path for path in [*at.private.rglob("*"), *tmp_path.rglob("*")] if path.is_file()]
        assert not [path for path in written if ISSUED in path.read_text(errors="replace")]
        logs = [*at.private.glob("*.log"), at.audit]
        assert not [path for path in logs if TOKEN in path.read_text(errors="replace")]
        for process in at.external:
            told = Path(f"/proc/{process}/environ").read_text() + Path(f"/proc/{process}/cmdline").read_text()
            assert TOKEN not in told
            assert ISSUED not in told


@pytest.mark.parametrize("missing", ["provider", "token"])
def test_without_the_credential_the_request_is_refused(missing, tmp_path):
    """failStrategy Block: 503, and nothing of what the provider said."""
    with providing() as provider, running(tmp_path, provider, token=missing != "token") as at:
        provider.status = 500
        assert at.ask("/v1/a") == 503
        assert at.ask("/v2/a") == 200
        assert [each.target for each in at.upstream.received] == ["/v2/a"]
        assert "sk-live-secret" not in (at.private / "external.log").read_text()
        assert len(provider.asked) == (0 if missing == "token" else 1)
