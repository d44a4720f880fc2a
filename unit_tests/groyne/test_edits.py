"""What an edit leaves in force when something is wrong with it: rules may stay, credentials never do."""

import asyncio
import io
import json
from dataclasses import dataclass, field

import pytest

from dataplane.certificates import make_ca
from dataplane.compile import Options
from dataplane.secrets import Layout
from groyne import clock
from groyne.audit import Audit
from groyne.edits import take_effect
from groyne.own_ca import trust_of
from groyne.proxy import Proxy
from groyne.resolve_option import parse_pins
from groyne.rundir import RunDirectory
from groyne.session import RunSpec, Session
from groyne.trust import Trust
from groyne.workspace import Who, read_workspace
from unit_tests.groyne.written import VALUE, secret, template, write
from unit_tests.policy.profiles import block, manifest, rule, token

API = [{"domains": ["api.test"], "schemes": ["https"]}]
KEY = rule("key", match=API, tokenTransformation=token())
FOR_WEB = {"selector": {"matchLabels": {"app": "web"}}}
AGENTS = template(labels={"app": "web"})
KEYED = (manifest(KEY, **FOR_WEB), AGENTS)


@dataclass(slots=True, kw_only=True)
class Deaf(Proxy):
    """Writes as it should; whether Envoy takes it is the test's to say."""

    takes: bool = True

    async def in_force(self) -> bool:
        return self.takes


@dataclass(slots=True)
class Tunnels:
    asked: list[object] = field(default_factory=list)

    def close_where(self, predicate):
        self.asked.append(predicate)


@dataclass(slots=True)
class Hearing:
    """An ext-proc that notes which rules it was told, with how many credentials, and when Envoy had them."""

    proxy: Deaf
    told: list[tuple[list[str], int, bool]] = field(default_factory=list)

    async def obey(self, workspace):
        rules = [rule["name"] for raw in workspace.sources.values() for rule in raw["spec"]["rules"]]
        self.told.append((rules, len(workspace.credentials.values), self.proxy.plan.selection.rules == workspace.selection.rules))


class Run:
    """A session on a directory of manifests, without Envoy."""

    def __init__(self, root, *objects, who):
        self.policy, self.private, self.tunnels = root / "policy", root / "run", Tunnels()
        self.policy.mkdir()
        self.private.mkdir()
        write(self.policy, *objects)
        spec = RunSpec(directory=self.policy, who=who, pins=parse_pins(()))
        workspace = read_workspace(spec.directory, who, {})
        directory = RunDirectory(private=self.private, public=self.private)
        trust = trust_of(workspace, clock.now())
        options = Options(layout=Layout(directory=str(self.private)), address={}, admin_socket="")
        self.proxy = Deaf(directory=directory, trust=trust, options=options)
        self.proxy.apply(workspace)
        self.external = Hearing(self.proxy)
        self.session = Session(spec, workspace, directory, self.proxy, self.external, Audit(io.StringIO()), {}, trust)

    def edit(self, *objects):
        write(self.policy, *objects)
        asyncio.run(take_effect(self.session, self.tunnels, lambda _: None))

    def credentials(self):
        """What Envoy reads as credentials now."""
        files = [json.loads(path.read_text()) for path in sorted(self.private.glob("sds-credential-*"))]
        return [file["resources"][0]["generic_secret"]["secret"]["inline_string"] for file in files]

    @property
    def rules(self):
        return [rule.name for rule in self.session.workspace.selection.rules]


@pytest.fixture
def run(tmp_path):
    return lambda *objects, who: Run(tmp_path, *objects, who=who)


@pytest.fixture
def templated(run):
    return run(*KEYED, secret(apiKey=VALUE), who=Who(template="agents"))


@pytest.fixture
def labelled(run):
    return run(manifest(KEY), secret(apiKey=VALUE), who=Who())


def test_ext_proc_has_an_edit_before_envoy(labelled):
    """What a new rule sends there must not be judged without that rule."""
    labelled.edit(manifest(KEY, rule("more", block=block())), secret(apiKey=VALUE))
    assert labelled.external.told == [(["key", "more"], 1, False)]
    assert labelled.rules == ["key", "more"]


def test_where_envoy_refuses_an_edit_ext_proc_keeps_its_rules_too(labelled):
    """But not the credential that the edit took away."""
    labelled.proxy.takes = False
    labelled.edit(manifest(rule("more", block=block())))
    assert [(rules, keys) for rules, keys, _ in labelled.external.told] == [(["more"], 0), (["key"], 0)]
    assert labelled.rules == ["key"]


def test_a_credential_that_is_taken_away_loses_its_value(labelled):
    """A file that vanishes would leave it: Envoy keeps what it read last."""
    assert labelled.credentials() == [f"Bearer {VALUE}"]
    labelled.edit(manifest(KEY))
    assert labelled.credentials() == [""]
    labelled.edit(manifest(KEY), secret(apiKey="sk-next"))
    assert labelled.credentials() == ["Bearer sk-next"]


def test_a_lost_template_keeps_the_rules(templated, capsys):
    templated.edit(manifest(KEY, rule("more", match=API, block=block()), **FOR_WEB), secret(apiKey=VALUE))
    assert templated.rules == ["key"]
    assert templated.credentials() == [f"Bearer {VALUE}"]
    said = capsys.readouterr().err
    assert "there is no SandboxTemplate agents here" in said
    assert "the rules before the edit stay in force" in said


def test_profiles_deleted_with_the_template_stay(templated):
    templated.edit(secret(apiKey=VALUE))
    assert templated.rules == ["key"]


def test_a_secret_deleted_with_the_template_is_gone(templated):
    templated.edit(manifest(KEY, **FOR_WEB))
    assert templated.rules == ["key"]
    assert templated.session.workspace.credentials.values == {}
    assert templated.credentials() == [""]


def test_a_secret_rotated_with_the_template_lost_is_the_new_one(templated):
    templated.edit(secret(apiKey="sk-next"))
    assert templated.credentials() == ["Bearer sk-next"]


def test_a_template_that_comes_back_brings_the_edits_meanwhile(templated, capsys):
    more = manifest(KEY, rule("more", match=API, block=block()), **FOR_WEB)
    templated.edit(more, secret(apiKey=VALUE))
    templated.edit(more, secret(apiKey=VALUE), AGENTS)
    assert templated.rules == ["key", "more"]
    assert "the edited policy is in force" in capsys.readouterr().err


def test_what_envoy_does_not_take_is_nowhere_in_force(labelled, capsys):
    """Session and plan go on with the rules that Envoy goes on with."""
    before, plan = labelled.session.workspace, labelled.proxy.plan
    labelled.proxy.takes = False
    labelled.edit(manifest(rule("other", match=API, block=block())))
    assert labelled.session.workspace is before
    assert labelled.proxy.plan is plan
    assert labelled.tunnels.asked == []
    said = " ".join(capsys.readouterr().err.split())
    assert "Envoy did not take the edited rules: those before the edit stay in force" in said
    assert "what it took away is gone" in said
    assert "is in force" not in said


def test_a_credential_is_gone_even_where_envoy_does_not_take_the_rest(labelled):
    labelled.proxy.takes = False
    labelled.edit(manifest(KEY))
    assert labelled.credentials() == [""]


def test_an_edit_that_cannot_be_written_changes_nothing_that_is_known(labelled, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = labelled.session.workspace
    monkeypatch.setattr(RunDirectory, "write", full)
    with pytest.raises(OSError, match="No space"):
        labelled.edit(manifest(rule("other", match=API, block=block())), secret(apiKey=VALUE))
    assert labelled.session.workspace is before


def company(name="company"):
    made = make_ca(now=clock.now(), name=name)
    return secret(name, **{"tls.crt": made.cert_pem, "tls.key": made.key_pem})


def naming(name):
    return manifest(KEY, annotations={"groyne.dev/ca-secret": name})


def ca_news(capsys):
    said = " ".join(capsys.readouterr().err.split())
    return said.count("takes effect at the next start"), said


def test_a_ca_that_an_edit_names_is_said_to_wait_for_the_next_start(labelled, capsys):
    labelled.edit(naming("company"), secret(apiKey=VALUE), company())
    times, said = ca_news(capsys)
    assert times == 1
    assert "asks for the CA in Secret default/company now" in said
    assert labelled.proxy.trust is labelled.session.trust
    labelled.edit(naming("company"), secret(apiKey="sk-next"), company())
    assert ca_news(capsys)[0] == 0


def test_a_ca_that_is_switched_or_named_no_more_is_said_too(run, capsys):
    running = run(naming("company"), secret(apiKey=VALUE), company(), who=Who())
    assert isinstance(running.session.trust, Trust)
    running.edit(naming("other"), secret(apiKey=VALUE), company(), company("other"))
    assert "the CA in Secret default/other" in ca_news(capsys)[1]
    running.edit(manifest(KEY), secret(apiKey=VALUE))
    assert "a CA made for the run" in ca_news(capsys)[1]
    running.edit(naming("company"), secret(apiKey=VALUE), company())
    assert ca_news(capsys)[0] == 0


def test_a_broken_edit_says_nothing_of_the_ca(run, capsys):
    """Its profile cannot be read, so it is not known what it names."""
    running = run(naming("company"), secret(apiKey=VALUE), company(), who=Who())
    running.edit({**naming("company"), "spec": 1}, secret(apiKey=VALUE), company())
    assert ca_news(capsys)[0] == 0
