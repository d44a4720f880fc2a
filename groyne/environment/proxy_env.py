"""The variables by which clients find the proxy and trust its certificates. Pure: an environment in, an environment out.

Every client reads its own names, several in one letter case only, and some let a setting in their own file win over the general
variables; each line below is there for one of them. `NODE_EXTRA_CA_CERTS` adds to the roots that Node has; all other CA
variables replace them, so they name the whole bundle. An existing proxy setting is never overridden in silence: `existing_proxy`
says what to tell the user.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from crds.problem import Problem

_PROXY = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_NO_PROXY = ("NO_PROXY", "no_proxy", "no_grpc_proxy", "npm_config_noproxy")
_PROXY_OF_ONE_CLIENT = (
    "grpc_proxy",
    "npm_config_proxy",  # these two win over an .npmrc, which wins over HTTPS_PROXY
    "npm_config_https_proxy",
    "CARGO_HTTP_PROXY",  # wins over http.proxy in a Git configuration, which cargo reads too
)
_BUNDLE = (
    "SSL_CERT_FILE",  # OpenSSL, Go, httpx, uv, Ruby
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "DENO_CERT",
    "PIP_CERT",
    "AWS_CA_BUNDLE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "npm_config_cafile",
    "HTTPLIB2_CA_CERTS",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "NIX_SSL_CERT_FILE",
)
_NODE_CA = "NODE_EXTRA_CA_CERTS"
# Inside the wall these can only be the sandbox's own. No brackets: httpx refuses to start when it meets them.
_OWN_LOOPBACK = "localhost,127.0.0.1,::1"
_JAVA_PROXY = re.compile(r"-D(?:https?\.proxyHost|socksProxyHost)=(?P<host>[^\s\"']+)")
_JAVA_OPTIONS = ("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS")


def client_environment(
    base: Mapping[str, str],
    *,
    proxy_url: str,
    isolated: bool,
    ca_file: Path | None = None,
    bundle_file: Path | None = None,
    java_truststore: Path | None = None,
    java_truststore_password: str = "changeit",  # noqa: S107 - protects public certificates
) -> dict[str, str]:
    """`base` with all that clients need. Without CA files (nothing is intercepted) trust stays as it is."""
    environment = {name: value for name, value in base.items() if name not in _NO_PROXY}
    environment |= _proxy_variables(proxy_url, isolated=isolated)
    if ca_file is not None and bundle_file is not None:
        environment |= _trust_variables(base, ca_file, bundle_file)
    environment |= _git_variables(base, proxy_url)
    java = _java_options(proxy_url, java_truststore, java_truststore_password, isolated=isolated)
    environment["JAVA_TOOL_OPTIONS"] = f"{base.get('JAVA_TOOL_OPTIONS', '')} {java}".strip()
    return environment


def existing_proxy(base: Mapping[str, str]) -> Problem | None:
    """The refusal to start where a proxy is set already: using it, and silently not using it, would both be wrong."""
    for name in (*_PROXY, *map(str.lower, _PROXY), *_PROXY_OF_ONE_CLIENT):
        if value := base.get(name, "").strip():
            return _refusal(name, _without_credentials(value))
    for name in _JAVA_OPTIONS:
        if found := _JAVA_PROXY.search(base.get(name, "")):
            return _refusal(name, _without_credentials(found["host"]))
    return None


def existing_ca_files(base: Mapping[str, str]) -> dict[str, Path]:
    """Variable to file: roots that the user's clients trust already, to be joined into the bundle that replaces them."""
    return {name: Path(base[name]) for name in (*_BUNDLE, _NODE_CA) if base.get(name)}


def _proxy_variables(proxy_url: str, *, isolated: bool) -> dict[str, str]:
    named = dict.fromkeys((*_PROXY, *map(str.lower, _PROXY), *_PROXY_OF_ONE_CLIENT), proxy_url)
    around = dict.fromkeys(_NO_PROXY, _OWN_LOOPBACK) if isolated else {}
    return {**named, **around, "NODE_USE_ENV_PROXY": "1"}


def _trust_variables(base: Mapping[str, str], ca_file: Path, bundle_file: Path) -> dict[str, str]:
    node = bundle_file if base.get(_NODE_CA) else ca_file
    return {**dict.fromkeys(_BUNDLE, str(bundle_file)), _NODE_CA: str(node), "UV_NATIVE_TLS": "1", "UV_SYSTEM_CERTS": "1"}


def _git_variables(base: Mapping[str, str], proxy_url: str) -> dict[str, str]:
    """A http.proxy in the user's Git configuration wins over HTTPS_PROXY; settings from the environment win over both."""
    count = int(base["GIT_CONFIG_COUNT"]) if base.get("GIT_CONFIG_COUNT", "").isdecimal() else 0
    return {"GIT_CONFIG_COUNT": str(count + 1), f"GIT_CONFIG_KEY_{count}": "http.proxy", f"GIT_CONFIG_VALUE_{count}": proxy_url}


def _java_options(proxy_url: str, truststore: Path | None, password: str, *, isolated: bool) -> str:
    proxy = urlsplit(proxy_url)
    options = [f"-D{scheme}.proxy{part}" for scheme in ("http", "https") for part in (f"Host={proxy.hostname}", f"Port={proxy.port}")]
    options.append(f"-Dhttp.nonProxyHosts={'localhost|127.*|[::1]' if isolated else ''}")
    if truststore is not None:
        options += [
            f"-Djavax.net.ssl.trustStore={truststore}",
            f"-Djavax.net.ssl.trustStorePassword={password}",
            "-Djavax.net.ssl.trustStoreType=PKCS12",
        ]
    return " ".join(f'"{option}"' if " " in option else option for option in options)


def _refusal(name: str, proxy: str) -> Problem:
    return Problem(
        reason="ExistingProxy",
        message=(
            f"{name} already names a proxy ({proxy}), and Groyne cannot go through it yet: "
            f"start it without, as in `env -u {name} groyne run …`"
        ),
    )


def _without_credentials(value: str) -> str:
    """Host and port alone: a proxy's URL may hold a password, in its user info or, badly written, anywhere else."""
    authority = value.partition("://")[2] or value
    return authority.rpartition("@")[2].partition("/")[0].partition("?")[0]
