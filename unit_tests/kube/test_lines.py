"""Bytes into lines, on virtual time."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.errors import TimedOut, Unavailable
from kube.lines import lines
from unit_tests.kube.virtual import run


async def chunked(chunks: Iterable[bytes], pause: float = 0.0) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(pause)
        yield chunk


async def read(chunks: AsyncIterator[bytes], *, silence: float = 10, longest: int = 1000) -> tuple[list[bytes], Exception | None]:
    found: list[bytes] = []
    try:
        async for line in lines(chunks, silence=silence, longest=longest):
            found += [line]
    except Unavailable as error:
        return found, error
    return found, None


@given(expected=st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line)), cuts=st.lists(st.integers(0, 200)))
def test_lines_are_the_same_wherever_the_chunks_are_cut(expected: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(line + b"\n" for line in expected)
    places = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    assert run(read(chunked(whole[a:b] for a, b in pairwise(places)))) == (expected, None)


def test_half_a_line_at_the_end_is_never_handed_out() -> None:
    found, error = run(read(chunked([b"one\ntw"])))
    assert found == [b"one"]
    assert isinstance(error, Unavailable)


def test_silence_is_an_error_and_any_byte_breaks_it() -> None:
    drip, _ = run(read(chunked([b"a"] * 9 + [b"\n"], pause=9)))
    assert drip == [b"a" * 9]
    _, error = run(read(chunked([b"one\n", b"two\n"], pause=11)))
    assert isinstance(error, TimedOut)


@pytest.mark.parametrize("chunks", [[b"x" * 1001], [b"x" * 600] * 2, [b"ok\n" + b"x" * 1001], [b"ok\n" + b"x" * 1001 + b"\n"]])
def test_a_line_without_an_end_is_given_up_before_it_fills_the_memory(chunks: list[bytes]) -> None:
    _, error = run(read(chunked([*chunks, b"\n"])))
    assert "longer than 1000" in str(error)
