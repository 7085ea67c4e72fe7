"""Durations of tokens."""

from __future__ import annotations

from datetime import timedelta

import pytest

from blindsight_cli.cape.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("300", 300), ("0", 0), ("300s", 300), ("1h", 3600), ("1h30m", 5400), ("1.5h", 5400), ("1h0m0.5s", 3600.5),
        (".5s", 0.5), ("5.s", 5), ("250ms", 0.25), ("1us", 1e-6), ("1µs", 1e-6), ("1500ns", 1e-6), ("720h", 2_592_000),
    ],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "h", "-5", "-1h", "1d", "1h30", "1 h", "h1", "1h-1m", "٣", "1e3s", "9" * 40 + "h", "."]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        parse_duration(text)
