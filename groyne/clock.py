"""The one place where this program asks what time it is; everything below takes time as an argument."""

from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - here it has its home
