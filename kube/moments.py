"""Moments as the API writes them where it wants microseconds: Leases and Events. For people; nothing here is computed with them."""

from datetime import UTC, datetime


def micro_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
