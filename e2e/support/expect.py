"""`expect.yaml` of an example: requests, and what each must meet. In comes the file, out go values; nothing is run here.

    options: [--labels, team=web]     more arguments for groyne
    environment: {NAME: value}        of Groyne, not of the command
    prepare: [sh, make-ca.sh]         run in the example's directory first
    problems: [SecretNotFound]        reasons for which `groyne check` exits with 1; none where the key is missing
    notes: [SourceReachable]          reasons that it reports besides
    requests:
    - name: what is shown
      request: GET https://host/path
      headers: {Name: value}
      body: text
      expect: {verdict: mutated, status: 200, body: text in it, intercepted: true, certificate: its issuer, upstream: {header: value}}

`upstream` says what the server received: a header's value, or null where it must not be there.
"""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ruamel.yaml import YAML


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    verdict: str
    status: int
    body: str = ""
    intercepted: bool | None = None
    certificate: str = ""
    upstream: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    name: str
    method: str
    scheme: str
    host: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: str
    expected: Expected

    def request(self, port: int) -> dict[str, object]:
        """As `groyne explain --requests` and the driver take it. The port is the test server's; rules without ports do not see it."""
        authority = f"{self.host}:{port}"
        return {
            "method": self.method, "scheme": self.scheme, "authority": authority, "path": self.path,
            "headers": [list(pair) for pair in self.headers], "body": self.body,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    directory: Path
    cases: tuple[Case, ...]
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    prepare: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def policy(self) -> Path:
        return self.directory / "policy"

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(case.host.lower() for case in self.cases))


def read(directory: Path) -> Example:
    raw = YAML(typ="safe").load(directory / "expect.yaml")
    unknown = raw.keys() - {"options", "environment", "prepare", "problems", "notes", "requests"}
    assert not unknown, f"{directory.name}: what is {unknown}?"
    return Example(
        directory=directory,
        cases=tuple(_case(each) for each in raw["requests"]),
        options=tuple(raw.get("options", ())),
        environment=dict(raw.get("environment", {})),
        prepare=tuple(raw.get("prepare", ())),
        problems=tuple(raw.get("problems", ())),
        notes=tuple(raw.get("notes", ())),
    )


def _case(raw: dict) -> Case:
    method, _, url = raw["request"].partition(" ")
    parts = urlsplit(url)
    path = url.split("://", 1)[1].partition("/")[2]
    return Case(
        name=raw["name"], method=method, scheme=parts.scheme, host=parts.netloc, path=f"/{path}",
        headers=tuple(raw.get("headers", {}).items()), body=raw.get("body", ""), expected=Expected(**raw["expect"]),
    )  # fmt: skip
