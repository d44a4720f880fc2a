"""A provider's answer: bytes → the values that were asked for and how long they hold, or a `ProviderError`.

An answer is a JSON object with a string for every key; what else it holds is passed over. It may say when the credential
ends: `expiration` (a moment, RFC 3339) or `expiresIn` (seconds from now), the earlier of both. An end that cannot be read is
an answer that cannot be read; guessing would keep a dead key in use. No I/O, no clock.
"""

import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from extproc.providers.seam import Failure, ProviderAnswer, ProviderError
from policy.references import check_credential

LONGEST_LIFE = 10 * 365 * 86400.0
"""Ends beyond this are no use as numbers; a credential may live as long as it likes."""


def read_answer(body: bytes, keys: tuple[str, ...], *, asked_at: float, wall_clock: datetime) -> ProviderAnswer:
    """`asked_at` is the loop's time and `wall_clock` the moment when the question was sent: an answer's way here counts as age."""
    said = _object(body)
    values = {key: _text(said.get(key)) for key in keys}
    lives = tuple(_lives(said, wall_clock))
    if any(life <= 0 for life in lives):
        raise ProviderError(Failure.EXPIRED)
    return ProviderAnswer(values=values, expires_at=asked_at + min(lives) if lives else None)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError):
        # Its text quotes the body.
        raise ProviderError(Failure.INVALID) from None
    if not isinstance(said, dict):
        raise ProviderError(Failure.INVALID)
    return said


def _no_number(_: str) -> float:
    raise ValueError


def _text(value: object) -> str:
    """By the rule for values of Secrets: not empty, UTF-8, and fit for a header."""
    if not isinstance(value, str):
        raise ProviderError(Failure.INVALID)
    try:
        text = check_credential(value.encode("utf-8"))
    except UnicodeEncodeError:
        raise ProviderError(Failure.INVALID) from None
    if not isinstance(text, str):
        raise ProviderError(Failure.INVALID)
    return text


def _lives(said: Mapping[str, Any], wall_clock: datetime) -> Iterator[float]:
    """Seconds from now; an end that is null was not said."""
    if (seconds := said.get("expiresIn")) is not None:
        yield _seconds(seconds)
    if (moment := said.get("expiration")) is not None:
        yield min((_moment(moment) - wall_clock).total_seconds(), LONGEST_LIFE)


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ProviderError(Failure.INVALID)
    # An integer of a thousand digits is no float, but it compares.
    seconds = float(max(min(value, LONGEST_LIFE), -1.0))
    if math.isnan(seconds):
        raise ProviderError(Failure.INVALID)
    return seconds


def _moment(value: object) -> datetime:
    if not isinstance(value, str):
        raise ProviderError(Failure.INVALID)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ProviderError(Failure.INVALID) from None
    if moment.tzinfo is None:
        raise ProviderError(Failure.INVALID)
    return moment
