"""`groyne gateway`: files that an Envoy of somebody else's can use as they are, and mistakes that name the option."""

import json
import subprocess

import pytest
import yaml
from typer.testing import CliRunner

from dataplane import names
from dataplane.certificates import make_ca
from dataplane.external_protocol import IDENTITY_ATTRIBUTES
from dataplane.listeners import http_manager
from dataplane.secrets import Layout
from groyne import clock
from groyne.__main__ import app
from unit_tests.dataplane.envoy_process import get_envoy_path

ADDRESS, SERVER = "groyne-ext-proc.groyne-system.svc:9002", "spiffe://cluster.local/ns/groyne-system/sa/groyne-ext-proc"
MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
ROUTER = {"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}
ROUTES = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]}]}


def written(tmp_path, *more, address=ADDRESS, server=SERVER, certificates="/certificates"):
    options = {"--server-id": server, "--certificates": certificates, "--scheme": "https", "--out": str(tmp_path / "out")}
    command = ["gateway", address, *(part for pair in options.items() for part in pair), *more]
    return CliRunner().invoke(app, command)


def read(tmp_path, name):
    return yaml.safe_load((tmp_path / "out" / name).read_text())


def test_every_request_is_decided_and_what_is_not_is_refused(tmp_path):
    """The filter is on, and behind it stands the check; bodies come where ext-proc asks for them."""
    assert written(tmp_path).exit_code == 0
    decider, check = read(tmp_path, "http-connection-manager.yaml")["http_filters"]
    told = decider["typed_config"]
    assert "disabled" not in decider
    assert (told["allow_mode_override"], told["failure_mode_allow"]) == (True, False)
    assert set(IDENTITY_ATTRIBUTES) < set(told["request_attributes"])
    assert check["name"] == names.DECIDED
    assert check["typed_config"]["rules"]["action"] == "ALLOW"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_requests_are_read_as_a_sidecar_reads_them(tmp_path, scheme):
    """What both of them say is the same, but for the headers that a sidecar writes for its own conditions."""
    assert written(tmp_path, "--scheme", scheme).exit_code == 0
    ours = read(tmp_path, "http-connection-manager.yaml")
    sidecars = http_manager(names.PLAIN_CLUSTER, Layout(directory="/d"), [], scheme, upgrades=())["typed_config"]
    own = {"http_filters", "early_header_mutation_extensions", "xff_num_trusted_hops"}
    assert {name: sidecars[name] for name in ours.keys() - own} == {name: ours[name] for name in ours.keys() - own}
    assert ours["scheme_header_transformation"] == {"scheme_to_overwrite": scheme}
    (removed,) = ours["early_header_mutation_extensions"][0]["typed_config"]["mutations"]
    assert removed in sidecars["early_header_mutation_extensions"][0]["typed_config"]["mutations"]


def test_who_lets_pass_what_nobody_decided_has_no_check(tmp_path):
    assert written(tmp_path, "--ext-proc-filter", "failOpen=true").exit_code == 0
    (decider,) = read(tmp_path, "http-connection-manager.yaml")["http_filters"]
    assert decider["typed_config"]["failure_mode_allow"] is True


def test_certificates_are_followed_where_the_gateway_sees_them(tmp_path):
    done = written(tmp_path, "--at", "/etc/envoy/groyne", "--output", "json")
    assert json.loads(done.stdout)["files"] == sorted(path.name for path in (tmp_path / "out").iterdir())
    cluster = (tmp_path / "out" / "cluster.yaml").read_text()
    assert "/etc/envoy/groyne/sds-external-client.json" in cluster
    assert SERVER in cluster
    assert "/certificates/tls.crt" in (tmp_path / "out" / "sds-external-client.json").read_text()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"address": "groyne-ext-proc"}, "HOST:PORT"),
        ({"address": ""}, "HOST:PORT"),
        ({"address": "h:99999"}, "HOST:PORT"),
        ({"address": "[:::::]:1"}, "HOST:PORT"),
        ({"address": "a..b:80"}, "HOST:PORT"),
        ({"server": "groyne-ext-proc"}, "--server-id"),
        ({"server": "spiffe://cluster.local"}, "--server-id"),
        ({"certificates": "certificates"}, "--certificates"),
    ],
)
def test_a_mistake_names_its_option_and_nothing_is_written(tmp_path, given, named):
    done = written(tmp_path, **given)
    assert done.exit_code == 2
    assert named in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", ["body=Buffered", "allowModeOverride=false", "shadowMode=true", "messageTimeout=5", "nothing=1"])
def test_a_mistaken_setting_of_the_filter_is_said(tmp_path, wrong):
    done = written(tmp_path, "--ext-proc-filter", wrong)
    assert (done.exit_code, wrong.partition("=")[0] in done.stderr) == (2, True)


@pytest.mark.envoy
@pytest.mark.parametrize("more", [(), ("--ext-proc-filter", "failOpen=true"), ("--ext-proc-filter", "attributes=request.id")])
def test_envoy_takes_it(tmp_path, more):
    """`--mode validate`, in a gateway of a few lines."""
    made = make_ca(now=clock.now(), name="Test")
    for name, text in {"tls.crt": made.cert_pem, "tls.key": made.key_pem, "ca.crt": made.cert_pem}.items():
        (tmp_path / name).write_text(text)
    assert written(tmp_path, *more, certificates=str(tmp_path)).exit_code == 0
    ours = read(tmp_path, "http-connection-manager.yaml")
    ours["http_filters"].append(ROUTER)
    manager = {"name": "http", "typed_config": {"@type": MANAGER, "stat_prefix": "gateway", "route_config": ROUTES, **ours}}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 0}}
    listener = {"name": "all", "address": address, "filter_chains": [{"filters": [manager]}]}
    resources = {"listeners": [listener], "clusters": [read(tmp_path, "cluster.yaml")]}
    whole = {"node": {"id": "gateway", "cluster": "gateway"}, "static_resources": resources}
    (tmp_path / "envoy.json").write_text(json.dumps(whole))
    command = [get_envoy_path(), "--mode", "validate", "-c", str(tmp_path / "envoy.json"), "-l", "error"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
