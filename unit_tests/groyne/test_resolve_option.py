"""`--resolve` as curl spells it: which hosts have which addresses, on which ports."""

import pytest

from groyne.resolve_option import Pins, parse_pins


def test_nothing_is_pinned_without_the_option():
    assert parse_pins([]) == Pins(addresses={}, ports={}, literals=frozenset())


@pytest.mark.parametrize(
    ("option", "host", "port", "address"),
    [
        ("api.test:443:127.0.0.1", "api.test", 443, "127.0.0.1"),
        ("API.Test:8443:10.0.0.1", "api.test", 8443, "10.0.0.1"),
        ("api.test:443:::1", "api.test", 443, "::1"),
        ("api.test:443:[::1]", "api.test", 443, "::1"),
        ("api.test:443:2001:DB8:0::1", "api.test", 443, "2001:db8::1"),
    ],
)
def test_a_name_gets_its_address_and_port(option, host, port, address):
    assert parse_pins([option]) == Pins(addresses={host: (address,)}, ports={host: (port,)}, literals=frozenset())


@pytest.mark.parametrize(
    ("option", "host"), [("127.0.0.1:8080:127.0.0.1", "127.0.0.1"), ("[::1]:8080:::1", "::1"), ("[0:0::1]:8080:[::1]", "::1")]
)
def test_an_address_as_host_is_allowed_as_such(option, host):
    found = parse_pins([option])
    assert (found.literals, found.ports) == (frozenset({host}), {host: (8080,)})


def test_several_options_add_up():
    found = parse_pins(["a.test:443:127.0.0.1", "a.test:80:127.0.0.1", "a.test:80:127.0.0.2", "b.test:1:::1"])
    assert found.addresses == {"a.test": ("127.0.0.1", "127.0.0.2"), "b.test": ("::1",)}
    assert found.ports == {"a.test": (80, 443), "b.test": (1,)}


@pytest.mark.parametrize(
    "option",
    [
        "", ":", "::", "a.test", "a.test:443", "a.test:443:", "a.test::127.0.0.1", "a.test:x:127.0.0.1", "a.test:0:127.0.0.1",
        "a.test:65536:127.0.0.1", "a.test:443:b.test", "a.test:443:127.1", "a.test:443:127.0.0.1:8443", ":443:127.0.0.1",
        "*:443:127.0.0.1", "*.test:443:127.0.0.1", "a b:443:127.0.0.1", "127.1:443:127.0.0.1", "[::1:443:::1", "[a.test]:443:127.0.0.1",
        "::1:443:::1", "a.test:-1:127.0.0.1", "a.test:\u0661:127.0.0.1", "-a.test:443:127.0.0.1:x", "a.test:443:[127.0.0.1",
        "a.test:443:fe80::1%eth0", "[fe80::1%eth0]:443:127.0.0.1",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_quoted_with_an_example(option):
    said = parse_pins(["fine.test:443:127.0.0.1", option])
    assert isinstance(said, str)
    assert said.startswith(f"--resolve {option}: write HOST:PORT:ADDR, for example ")
