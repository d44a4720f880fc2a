"""What `render` writes: files to read and to compare, without values unless they are asked for."""

import json
import re
import stat

import pytest

from groyne.render import RenderError, render_to
from unit_tests.groyne.written import VALUE, read, secret, template
from unit_tests.policy.profiles import manifest, rule, token

KEY = rule("key", match=[{"domains": ["api.test"], "schemes": ["https"]}], tokenTransformation=token())


@pytest.fixture
def found(tmp_path):
    (tmp_path / "policy").mkdir()
    return read(tmp_path / "policy", manifest(KEY), secret(apiKey=VALUE), template())


def texts(directory):
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def test_the_names_that_are_told_are_the_files_that_are_there(found, tmp_path):
    out = tmp_path / "new" / "out"
    assert render_to(found, out, reveal=False) == sorted(texts(out))
    assert "envoy/bootstrap.json" in texts(out)
    assert any(name.startswith("kubernetes/default-agents") for name in texts(out))


def test_values_and_private_keys_are_starred(found, tmp_path):
    render_to(found, tmp_path / "out", reveal=False)
    everything = "".join(texts(tmp_path / "out").values())
    assert VALUE not in everything
    assert "PRIVATE KEY" not in everything
    assert "***" in everything


def test_revealed_files_are_their_owners_alone(found, tmp_path):
    render_to(found, tmp_path / "out", reveal=True)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert f"Bearer {VALUE}" in "".join(path.read_text() for path in files)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_file_that_was_readable_before_is_not_afterwards(found, tmp_path):
    render_to(found, tmp_path / "out", reveal=False)
    render_to(found, tmp_path / "out", reveal=True)
    assert stat.S_IMODE((tmp_path / "out" / "envoy" / "bootstrap.json").stat().st_mode) == 0o600


def test_envoy_finds_its_files_where_they_were_written(found, tmp_path):
    render_to(found, tmp_path / "out", reveal=False)
    bootstrap = json.loads((tmp_path / "out" / "envoy" / "bootstrap.json").read_text())
    named = re.findall(rf"{tmp_path}/out/envoy/[\w.-]+\.json", json.dumps(bootstrap))
    assert named
    assert all((tmp_path / "out" / "envoy" / name.rpartition("/")[2]).exists() for name in named)


def test_a_ca_that_cannot_be_used_writes_nothing(tmp_path):
    found = read(tmp_path, manifest(annotations={"groyne.dev/ca-secret": "company"}))
    with pytest.raises(RenderError, match="CA Secret default/company"):
        render_to(found, tmp_path / "out", reveal=False)
    assert not (tmp_path / "out").exists()


def test_names_lead_to_no_private_address_in_the_rendered_configuration_either(found, tmp_path):
    """There is no resolver of ours before this Envoy: it judges the addresses itself."""
    render_to(found, tmp_path / "out", reveal=True)
    for name in ("lds.json", "cds.json"):
        caches = caches_in(json.loads((tmp_path / "out" / "envoy" / name).read_text()))
        assert caches
        for cache in caches:
            ranges = {f"{each['address_prefix']}/{each['prefix_len']}" for each in cache["resolved_address_filter"]["ranges"]}
            assert {"127.0.0.0/8", "10.0.0.0/8", "169.254.0.0/16"} <= ranges


def caches_in(value):
    if isinstance(value, list):
        return [cache for each in value for cache in caches_in(each)]
    if not isinstance(value, dict):
        return []
    own = [value["dns_cache_config"]] if "dns_cache_config" in value else []
    return own + [cache for each in value.values() for cache in caches_in(each)]
