"""HOST:PORT as operators write it, for the controller's settings and the command line alike."""

import pytest
from pydantic import TypeAdapter, ValidationError

from daemon.endpoint import Endpoint, OptionalCollector, OptionalEndpoint


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("groyne-ext-proc.groyne-system.svc:9002", "groyne-ext-proc.groyne-system.svc", 9002),
        ("10.96.0.9:1", "10.96.0.9", 1),
        ("[fd00::9]:65535", "fd00::9", 65535),
        ("[FD00:0:0::9]:9002", "fd00::9", 9002),
    ],
)
def test_what_is_meant_is_read(text: str, host: str, port: int) -> None:
    assert Endpoint.parse(text) == Endpoint(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "", "host", "host:", ":9002", "host:0", "host:09", "host:65536", "host:99999", "host:9002 ", "ho st:9002", "a..b:80", "-a:80", "a-:80",
        ".a:80", "a.:80", "a_b:80", "fd00::9:9002", "[]:1", "[:::]:1", "[fd00::9%eth0]:1", "host:9002\n", "host:٩", "a" * 64 + ":80", "300.1.1.1:80", "1.2.3:80", "a.b" * 100 + ":80",
    ],
)  # fmt: skip
def test_what_is_no_endpoint_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be HOST:PORT, such as `groyne-ext-proc\.groyne-system\.svc:9002`"):
        Endpoint.parse(text)


def test_a_setting_may_be_empty_and_stays_as_it_was_written() -> None:
    setting = TypeAdapter(OptionalEndpoint)
    assert setting.validate_python("") == ""
    assert setting.validate_python("[FD00:0::9]:9002") == "[FD00:0::9]:9002"
    with pytest.raises(ValidationError, match="must be HOST:PORT"):
        setting.validate_python("host:99999")


@pytest.mark.parametrize("text", ["", "http://collector.observability.svc:4317", "https://[fd00::9]:4317", "http://10.0.0.1:4317"])
def test_a_collector_has_a_scheme(text: str) -> None:
    assert TypeAdapter(OptionalCollector).validate_python(text) == text


@pytest.mark.parametrize(
    "text", ["collector:4317", "grpc://collector:4317", "http://collector", "http://a..b:4317", "http://h:99999", "http://"]
)
def test_what_is_no_collector_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ValidationError, match="must be http://HOST:PORT or https://HOST:PORT"):
        TypeAdapter(OptionalCollector).validate_python(text)
