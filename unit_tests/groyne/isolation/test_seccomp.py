"""What the filter says to a system call: the kernel's semantics, executed here on the program's bytes."""

import errno
import struct

import pytest

from groyne.isolation import seccomp

ALLOW = 0x7FFF0000
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
SOCKET = {"x86_64": 41, "aarch64": 198}
IOCTL = {"x86_64": 16, "aarch64": 29}
KILL = {"x86_64": 62, "aarch64": 129}
READ = {"x86_64": 0, "aarch64": 63}


def verdict(machine: str, number: int, *arguments: int, architecture: int | None = None, group_signals: bool = True) -> int:
    """0 where the call is allowed, otherwise its errno: classic BPF as linux/filter.h describes it."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("<IIQ6Q", number, architecture or ARCHITECTURE[machine], 0, *padded)
    text = seccomp.program(machine, group_signals=group_signals)
    instructions = [struct.unpack_from("<HBBI", text, offset) for offset in range(0, len(text), 8)]
    at, held = 0, 0
    while True:
        code, hit, miss, value = instructions[at]
        at += 1
        if code == 0x20:
            held = struct.unpack_from("<I", data, value)[0]
        elif code == 0x15:
            at += hit if held == value else miss
        elif code == 0x35:
            at += hit if held >= value else miss
        else:
            assert code == 0x06
            return 0 if value == ALLOW else value & 0xFFFF


@pytest.fixture(params=seccomp.MACHINES)
def machine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("family", range(50))
def test_only_families_that_a_network_namespace_contains_can_be_opened(machine: str, family: int) -> None:
    expected = 0 if family in {1, 2, 10, 16} else errno.EAFNOSUPPORT
    assert verdict(machine, SOCKET[machine], family, 1) == expected


def test_a_family_cannot_be_hidden_in_the_half_that_the_kernel_ignores(machine: str) -> None:
    assert verdict(machine, SOCKET[machine], (1 << 32) | 40) == errno.EAFNOSUPPORT


@pytest.mark.parametrize(
    ("request_number", "expected"),
    [(0x5412, errno.EPERM), (0x541C, errno.EPERM), (0x5413, 0), ((7 << 32) | 0x5412, errno.EPERM)],
)
def test_nothing_can_be_typed_into_a_terminal(machine: str, request_number: int, expected: int) -> None:
    assert verdict(machine, IOCTL[machine], 0, request_number) == expected


@pytest.mark.parametrize("number", [425, 426, 427])
def test_io_uring_is_absent(machine: str, number: int) -> None:
    assert verdict(machine, number) == errno.ENOSYS


def test_ordinary_calls_pass(machine: str) -> None:
    assert verdict(machine, READ[machine], 40) == 0
    assert verdict(machine, 435) == 0  # clone3


def test_another_architectures_calls_are_absent(machine: str) -> None:
    assert verdict(machine, READ[machine], architecture=0x40000003) == errno.ENOSYS


def test_the_x32_spelling_of_a_call_is_absent() -> None:
    assert verdict("x86_64", 0x40000000 | 41, 40) == errno.ENOSYS


@pytest.mark.parametrize(
    ("target", "expected"),
    [(0, errno.EPERM), (1 << 32, errno.EPERM), (7, 0), (-7 & 0xFFFFFFFF, 0), (-1 & 0xFFFFFFFF, 0)],
)
def test_without_landlock_the_own_process_group_cannot_be_signalled(machine: str, target: int, expected: int) -> None:
    assert verdict(machine, KILL[machine], target, 15, group_signals=False) == expected
    assert verdict(machine, KILL[machine], target, 15) == 0
