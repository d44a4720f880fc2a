"""One client against one intercepted host: policy, server, run, and the proof that the credential arrived.

In comes a command that speaks to `https://HOST:PORT`, out comes what the server received. The server answers 401 to whatever
arrives without the credential, so that a client that works was given it on the way.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.support import cli
from e2e.support.pki import Authority
from e2e.support.upstream import Answer, Answering, Received, Streaming, Upstream, serve

HOST = "api.clients.test"
KEY = "FAKE0clients0key0that0opens0nothing"
POLICY = f"""\
apiVersion: agents.kruise.io/v1alpha1
kind: SecurityProfile
metadata: {{name: clients, annotations: {{groyne.dev/allow-escaped-slashes: {HOST}}}}}
spec:
  selector: {{}}
  rules:
  - name: no-push
    match:
    - domains: [{HOST}]
      queryParams: [{{name: service, value: git-receive-pack}}]
    - domains: [{HOST}]
      paths: [{{type: Regex, value: "/git-receive-pack$|^/forbidden"}}]
    actions: {{block: {{statusCode: 403, body: refused by policy}}}}
  - name: key
    match: [{{domains: [{HOST}], schemes: [https]}}]
    actions:
      tokenTransformation:
        credentialRef: {{secret: {{name: key}}}}
        apiKey: {{valueTemplate: "Bearer {{{{ .Token }}}}"}}
---
apiVersion: v1
kind: Secret
metadata: {{name: key}}
stringData: {{apiKey: {KEY}}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A server behind the policy, and a directory that the client may write to."""

    world: Authority
    scratch: Path
    upstream: Upstream

    @property
    def url(self) -> str:
        return f"https://{self.upstream.at(HOST)}"

    def run(self, command: Sequence[str | Path], **environment: str) -> cli.Finished:
        return run(self.world, self.scratch, command, self.upstream.port, **environment)

    @property
    def credentialed(self) -> tuple[Received, ...]:
        return tuple(received for received in self.upstream.received if received.header("authorization") == f"Bearer {KEY}")


def run(world: Authority, scratch: Path, command: Sequence[str | Path], port: int, **environment: str) -> cli.Finished:
    policy = scratch / "policy"
    policy.mkdir(exist_ok=True)
    (policy / "policy.yaml").write_text(POLICY)
    work = scratch / "work"
    work.mkdir(exist_ok=True)
    done = cli.run(
        policy,
        command,
        resolve=[f"{HOST}:{port}:127.0.0.1"],
        upstream_ca=world.bundle,
        env=cli.environment(**environment),
        cwd=work,
        limit=150,
    )
    assert KEY not in done.out + done.err
    return done


@contextmanager
def place(world: Authority, scratch: Path, answer: Answering = lambda _: Answer(), stream: Streaming | None = None) -> Iterator[Place]:
    """`stream` may take a connection over; it is not asked for the credential, so its tests look at `credentialed`."""
    more = {} if stream is None else {"stream": stream}
    with serve(certificates=world, hosts=(HOST,), answer=only_with_key(answer), **more) as upstream:
        yield Place(world=world, scratch=scratch, upstream=upstream)


def only_with_key(answer: Answering) -> Answering:
    def judged(received: Received) -> Answer:
        if received.header("authorization") != f"Bearer {KEY}":
            return Answer(status=401, body=b"a key is needed\n")
        return answer(received)

    return judged
