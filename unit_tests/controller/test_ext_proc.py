"""Where sidecars find ext-proc, and what they are told of it."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from pydantic import ValidationError

from controller.cluster_view import ClusterView
from controller.ext_proc import AGAIN_AFTER, CERTIFICATES, LOOK_EVERY, ExtProcPlace, engines
from controller.settings import Settings
from daemon.kinds import NETWORK_POLICIES, PROFILES, SECRETS
from daemon.settings_sources import load
from dataplane import names
from dataplane.redirect import Families
from kube.objects import Raw
from policy.program import Engine
from unit_tests.controller.law_state import values
from unit_tests.controller.raw_objects import profile, rule, template
from unit_tests.controller.stage import Stage, staged
from unit_tests.kube import virtual

ID = "spiffe://cluster.local/ns/groyne-system/sa/groyne-ext-proc"
NAME = "groyne-ext-proc.groyne-system.svc:9002"


def settings(address: str = NAME, **more: object) -> Settings:
    return Settings(ext_proc_address=address, ext_proc_id=ID, ext_proc_certificates="files", **more)


class Dns:
    """Answers with what stands in `says`; an empty one is a name that does not exist."""

    def __init__(self, *says: str) -> None:
        self.says = says
        self.asked: list[str] = []

    async def __call__(self, name: str) -> tuple[str, ...]:
        self.asked.append(name)
        if not self.says:
            raise OSError
        return self.says


def place(dns: Dns, told: list[str], address: str = NAME) -> ExtProcPlace:
    return ExtProcPlace(settings=settings(address), changed=lambda: told.append("changed"), resolve=dns)


def address_of(found: ExtProcPlace, families: Families = Families.IPV4) -> tuple[str, int] | None:
    external = found.external(families)
    return (external.address["socket_address"]["address"], external.address["socket_address"]["port_value"]) if external else None


@pytest.mark.parametrize(("given", "expected"), [("10.96.0.9:9002", ("10.96.0.9", 9002)), ("[fd00::9]:443", ("fd00::9", 443))])
def test_an_address_is_taken_as_it_is(given: str, expected: tuple[str, int]) -> None:
    dns, told = Dns(), list[str]()
    found = place(dns, told, given)
    assert found.lacking is None
    assert address_of(found) == expected
    virtual.run(found.run())
    assert (dns.asked, told) == ([], [])


def test_a_name_is_looked_up_and_nothing_is_written_before_it_is_known() -> None:
    dns, told = Dns(), list[str]()
    found = place(dns, told)

    async def live() -> None:
        looking = asyncio.ensure_future(found.run())
        await asyncio.sleep(0.5)
        assert found.lacking == "ext-proc-address: `groyne-ext-proc.groyne-system.svc` has no address yet"
        assert address_of(found) is None
        dns.says = ("10.96.0.9",)
        await asyncio.sleep(AGAIN_AFTER)
        assert found.lacking is None
        looking.cancel()

    virtual.run(live())
    assert address_of(found) == ("10.96.0.9", 9002)
    assert told == ["changed"]


def test_a_name_that_moves_is_followed_and_one_that_is_lost_keeps_its_address() -> None:
    dns, told = Dns("10.96.0.9"), list[str]()
    found = place(dns, told)

    async def live() -> None:
        looking = asyncio.ensure_future(found.run())
        await asyncio.sleep(1)
        dns.says = ()
        await asyncio.sleep(LOOK_EVERY)
        assert address_of(found) == ("10.96.0.9", 9002)
        dns.says = ("10.96.0.10",)
        await asyncio.sleep(LOOK_EVERY)
        looking.cancel()

    virtual.run(live())
    assert address_of(found) == ("10.96.0.10", 9002)
    assert told == ["changed", "changed"]


@pytest.mark.parametrize(("families", "expected"), [(Families.IPV4, "10.96.0.9"), (Families.DUAL, "10.96.0.9"), (Families.IPV6, "fd00::9")])
def test_the_address_is_of_a_family_that_the_pods_have(families: Families, expected: str) -> None:
    found = ExtProcPlace(settings=settings(), changed=lambda: None, addresses=("10.96.0.9", "fd00::9"))
    assert address_of(found, families) == (expected, 9002)


def test_what_sidecars_are_told_is_what_the_settings_say() -> None:
    given = settings("10.96.0.9:9009", ext_proc_filter={"messageTimeout": "2s", "attributes": ["source.port", "request.id"]})
    view = ClusterView(
        settings=given,
        service_cidrs=list,
        nodes=list,
        kubernetes_service=lambda: None,
        ext_proc=ExtProcPlace(settings=given, changed=lambda: None),
    )
    external = view().sidecar.external
    assert external is not None
    assert external.tls is not None
    assert (external.tls.server_id, external.tls.directory) == (ID, CERTIFICATES)
    assert (external.settings.message_timeout, external.settings.attributes) == (2.0, ("source.port", "request.id"))
    assert view().ext_proc.port == 9009


def test_without_an_address_only_envoy_carries_out_rules() -> None:
    assert engines(Settings()) == {Engine.NATIVE}
    assert engines(settings()) == set(Engine)
    assert ExtProcPlace(settings=Settings(), changed=lambda: None).external(Families.IPV4) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ext_proc_address": NAME, "ext_proc_certificates": "files"}, "give it"),
        ({"ext_proc_address": NAME, "ext_proc_id": "spiffe://other.example/sa/x"}, "of that"),
        ({"trust_domain": "two words"}, "pattern"),
        ({"ext_proc_id": ID}, "give both, or neither"),
        ({"ext_proc_address": "groyne-ext-proc"}, "must be HOST:PORT"),
        ({"ext_proc_address": "groyne-ext-proc:99999"}, "must be HOST:PORT"),
        ({"ext_proc_address": NAME, "ext_proc_id": "groyne-ext-proc"}, "does not begin with spiffe://"),
        ({"ext_proc_filter": "messageTimeout"}, "has no `=`"),
        ({"ext_proc_filter": "messageTimeout=soon"}, "is no duration"),
        ({"ext_proc_filter": "patience=2s"}, "there is no such setting"),
        ({"ext_proc_filter": "writableNamespaces=envoy.filters.http.rbac"}, "belongs to Envoy's own filters"),
    ],
)
def test_a_mistake_is_said_at_the_start(given: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Settings(**given)
    assert said in str(raised.value)


def test_flags_say_the_same_as_a_file(tmp_path: object) -> None:
    flags = ["--ext-proc-address", NAME, "--ext-proc-id", ID, "--ext-proc-filter", "messageTimeout=2s; attributes=source.port,request.id"]
    file = f"{tmp_path}/settings.yaml"
    with open(file, "w") as out:
        out.write(f"ext-proc-address: {NAME}\next-proc-id: {ID}\n")
        out.write("ext-proc-filter: {messageTimeout: 2s, attributes: [source.port, request.id]}\n")
    by_flags, by_file = (load(each, Settings, program="x", description="x").settings for each in (flags, ["--config", file]))
    assert by_flags.model_dump(exclude={"config"}) == by_file.model_dump(exclude={"config"})
    assert by_flags.ext_proc_settings.attributes == ("source.port", "request.id")


def audited() -> Raw:
    hook = {"name": "log", "webhook": {"url": "https://audit.example/"}}
    return profile("audited", rules=[rule("seen", audit=[hook], block={}), rule("closed", "closed.example.com")], labels={"app": "agent"})


def condition(stage: Stage, kind: str) -> tuple[str, str, str]:
    found = (stage.get(PROFILES, "audited") or {})["status"]["conditions"]
    return next((each["status"], each["reason"], each["message"]) for each in found if each["type"] == kind)


def played(story: Callable[[Stage], Awaitable[None]], **given: object) -> None:
    async def play() -> None:
        async with staged(**given) as stage:
            stage.opt_in("team-a")
            for raw in (template(), template("other", labels={"app": "other"}), audited(), profile("plain", labels={"app": "other"})):
                stage.put(raw)
            await stage.start()
            await stage.rest()
            await story(stage)

    virtual.run(play())


def files(stage: Stage, name: str) -> dict[str, str]:
    found = stage.get(SECRETS, name)
    return values(found) if found else {}


def test_a_profile_that_needs_ext_proc_is_accepted_and_written_where_there_is_one() -> None:
    async def story(stage: Stage) -> None:
        assert condition(stage, "Accepted") == ("True", "Accepted", "2 rules in force; ext-proc carries out seen")
        assert condition(stage, "Programmed")[0] == "True"
        written = files(stage, "python-egress")
        clusters = json.loads(written["cds.json"])["resources"]
        ours = next(each for each in clusters if each["name"] == names.EXTERNAL)
        endpoint = ours["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        assert endpoint["address"]["socket_address"] == {"address": "10.96.0.9", "port_value": 9009}
        assert ID in written["cds.json"]
        assert f"{CERTIFICATES}/tls.crt" in written["sds-external-client.json"]
        policy = stage.get(NETWORK_POLICIES, "python-groyne") or {}
        assert [each["ports"] for each in policy["spec"]["egress"]] == [[{"protocol": "TCP", "port": 9009}]]

    played(story, ext_proc_address="10.96.0.9:9009", ext_proc_id=ID, ext_proc_certificates="files")


def test_a_credential_of_a_provider_is_accepted_with_a_warning_for_no_sidecar_has_a_token_to_ask_with() -> None:
    action = {
        "type": "ApiKey",
        "credentialRef": {"credentialProvider": {"name": "vault"}},
        "apiKey": {"valueTemplate": "Bearer {{ .Token }}"},
    }

    async def story(stage: Stage) -> None:
        stage.put(profile("audited", rules=[rule("open"), rule("paid", "paid.example.com", tokenTransformation=action)], generation=2))
        await stage.rest()
        status, reason, message = condition(stage, "Accepted")
        assert (status, reason) == ("True", "Accepted")
        assert message.startswith("rule paid, spec.rules[1].actions: in a sidecar this credential never comes")
        assert condition(stage, "Programmed")[0] == "True"

    played(story, ext_proc_address="10.96.0.9:9009", ext_proc_id=ID, ext_proc_certificates="files")


def test_a_template_that_needs_none_is_told_nothing_of_it() -> None:
    async def story(stage: Stage) -> None:
        written = files(stage, "other-egress")
        assert written
        assert "sds-external-client.json" not in written
        assert all(ID not in text and "10.96.0.9" not in text for text in written.values())
        assert stage.get(NETWORK_POLICIES, "other-groyne") is None

    played(story, ext_proc_address="10.96.0.9:9009", ext_proc_id=ID, ext_proc_certificates="files")


def test_without_one_the_profile_is_not_accepted_as_a_whole() -> None:
    async def story(stage: Stage) -> None:
        assert condition(stage, "Accepted")[:2] == ("False", "EngineUnavailable")
        assert not files(stage, "python-egress")

    played(story)
