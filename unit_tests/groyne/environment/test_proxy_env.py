"""What clients are told about the proxy and whom to trust."""

from pathlib import Path

import pytest

from groyne.environment.proxy_env import client_environment, existing_ca_files, existing_proxy

PROXY = "http://127.0.0.1:15080"
TRUST = {"ca_file": Path("/p/ca.pem"), "bundle_file": Path("/p/bundle.pem"), "java_truststore": Path("/p/trust.p12")}


def made(base: dict[str, str] | None = None, *, isolated: bool = True, trust: bool = True) -> dict[str, str]:
    return client_environment(base or {}, proxy_url=PROXY, isolated=isolated, **(TRUST if trust else {}))


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "grpc_proxy"])
def test_both_spellings_of_every_proxy_variable_name_the_proxy(name: str) -> None:
    assert made()[name] == PROXY


@pytest.mark.parametrize(
    "name",
    [
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "CARGO_HTTP_CAINFO",
        "DENO_CERT",
        "PIP_CERT",
        "AWS_CA_BUNDLE",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
        "npm_config_cafile",
    ],
)
def test_clients_whose_variable_replaces_their_roots_get_the_whole_bundle(name: str) -> None:
    assert made()[name] == "/p/bundle.pem"


def test_node_adds_to_its_roots_so_it_gets_the_ca_alone() -> None:
    assert made()["NODE_EXTRA_CA_CERTS"] == "/p/ca.pem"
    assert made()["NODE_USE_ENV_PROXY"] == "1"


def test_node_keeps_the_roots_that_the_user_gave_it() -> None:
    assert made({"NODE_EXTRA_CA_CERTS": "/corp.pem"})["NODE_EXTRA_CA_CERTS"] == "/p/bundle.pem"


def test_without_interception_trust_stays_as_it_is() -> None:
    environment = made({"SSL_CERT_FILE": "/mine.pem"}, trust=False)
    assert environment["SSL_CERT_FILE"] == "/mine.pem"
    assert "NODE_EXTRA_CA_CERTS" not in environment
    assert "trustStore" not in environment["JAVA_TOOL_OPTIONS"]


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy", "no_grpc_proxy"])
def test_exceptions_from_the_proxy_are_cleared(name: str) -> None:
    assert name not in made({name: "internal.corp,169.254.169.254"}, isolated=False)


def test_inside_the_wall_only_its_own_loopback_goes_past_the_proxy() -> None:
    assert made({"NO_PROXY": "internal.corp"})["NO_PROXY"] == "localhost,127.0.0.1,::1"
    assert made()["no_proxy"] == "localhost,127.0.0.1,::1"


def test_java_gets_options_after_the_users_own() -> None:
    options = made({"JAVA_TOOL_OPTIONS": "-Xmx1g"})["JAVA_TOOL_OPTIONS"].split()
    assert options[0] == "-Xmx1g"
    assert {"-Dhttps.proxyHost=127.0.0.1", "-Dhttps.proxyPort=15080", "-Djavax.net.ssl.trustStore=/p/trust.p12"} <= set(options)


def test_a_java_path_with_a_space_stays_one_option() -> None:
    environment = client_environment(
        {}, proxy_url=PROXY, isolated=True, ca_file=Path("/c"), bundle_file=Path("/b"), java_truststore=Path("/my files/t")
    )
    assert '"-Djavax.net.ssl.trustStore=/my files/t"' in environment["JAVA_TOOL_OPTIONS"]


def test_git_settings_from_the_environment_are_kept_and_added_to() -> None:
    base = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "me"}
    environment = made(base)
    assert environment["GIT_CONFIG_COUNT"] == "2"
    assert environment["GIT_CONFIG_KEY_0"] == "user.name"
    assert (environment["GIT_CONFIG_KEY_1"], environment["GIT_CONFIG_VALUE_1"]) == ("http.proxy", PROXY)


def test_all_else_passes_unchanged() -> None:
    base = {"PATH": "/bin", "HOME": "/h", "ODD": "a=b"}
    assert made(base).items() >= base.items()


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("HTTPS_PROXY", "http://user:hunter2@corp.test:3128/", "corp.test:3128"),
        ("http_proxy", "user:hunter2@corp.test:3128", "corp.test:3128"),
        ("ALL_PROXY", "socks5://hunter2:x@corp.test:1080?hunter2", "corp.test:1080"),
        ("grpc_proxy", "http://corp.test:3128", "corp.test:3128"),
        ("npm_config_https_proxy", "http://a@b:hunter2@corp.test:1", "corp.test:1"),
        ("JAVA_TOOL_OPTIONS", "-Xmx1g -Dhttps.proxyHost=corp.test -Dhttps.proxyPassword=hunter2", "corp.test"),
        ("_JAVA_OPTIONS", "-DsocksProxyHost=corp.test", "corp.test"),
    ],
)
def test_an_existing_proxy_is_refused_by_name_without_its_password(name: str, value: str, shown: str) -> None:
    problem = existing_proxy({name: value})
    assert problem is not None
    assert name in problem.message
    assert f"({shown})" in problem.message
    assert "hunter2" not in problem.message


def test_no_proxy_or_an_empty_one_is_no_problem() -> None:
    assert existing_proxy({"HTTPS_PROXY": "", "http_proxy": " ", "NO_PROXY": "x", "JAVA_TOOL_OPTIONS": "-Xmx1g"}) is None


def test_what_is_made_would_itself_be_recognised_as_a_proxy() -> None:
    """So that a run within a run is refused instead of going round."""
    assert existing_proxy(made()) is not None


def test_existing_ca_files_are_found_by_their_variables() -> None:
    base = {"SSL_CERT_FILE": "/a.pem", "NODE_EXTRA_CA_CERTS": "/b.pem", "PIP_CERT": "", "OTHER": "/c.pem"}
    assert existing_ca_files(base) == {"SSL_CERT_FILE": Path("/a.pem"), "NODE_EXTRA_CA_CERTS": Path("/b.pem")}
