"""The date that a request inside an envelope needs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime


def dated(seconds: float = 0) -> list[tuple[str, str]]:
    """Header fields with a date `seconds` from now."""
    return [("date", format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True))]
