"""The notation of limits, and the arithmetic of windows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ratelimits.policy import Limit, parse
from gateway.ratelimits.windows import SlidingWindow


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10/second", [("requests-per-second", 10, 1)]),
        ("1000/hour;10/second", [("requests-per-second", 10, 1), ("requests-per-hour", 1000, 3600)]),
        ("5 per 2 minutes", [("requests-per-2-minutes", 5, 120)]),
        ("7/30days", [("requests-per-30-days", 7, 30 * 86400)]),
    ],
)
def test_notation(text: str, found: list[tuple[str, int, int]]) -> None:
    assert [(limit.name, limit.amount, limit.seconds) for limit in parse(text, "requests")] == found


@pytest.mark.parametrize(
    "text",
    ["", "10", "ten/second", "10/fortnight", "0/second", "5/minute;6/minute", "60/minute;1/60seconds", "1e3/hour",
     "-1/second", f"{10**15}/day", "10/second;", f"5/{10**12} years"],
)  # fmt: skip
def test_what_is_no_limit(text: str) -> None:
    with pytest.raises(ValueError, match=r"write it as|two limits|from 1 to|too long") as refused:
        parse(text, "requests")
    assert "fortnight" not in str(refused.value)


@given(
    amount=st.integers(1, 1000),
    seconds=st.integers(1, 3600),
    previous=st.integers(0, 1000),
    current=st.integers(0, 1000),
    share=st.floats(0, 1),
    cost=st.integers(1, 1000),
)
def test_after_the_wait_it_fits_and_not_before(
    *, amount: int, seconds: int, previous: int, current: int, share: float, cost: int
) -> None:
    limit = Limit("x", "requests", amount, seconds)
    previous, current, cost = min(previous, amount), min(current, amount), min(cost, amount)
    window = SlidingWindow(previous, current, share * seconds)
    wait = window.wait(limit, cost)
    assert 0 <= wait <= 2 * seconds
    if window.used(limit) + cost <= amount:
        assert wait == 0
    slack = seconds * 1e-6 + 1e-9
    assert later(window, limit, wait + slack).used(limit) + cost <= amount
    if wait > 2 * slack:
        assert later(window, limit, wait - slack).used(limit) + cost > amount


def later(window: SlidingWindow, limit: Limit, seconds: float) -> SlidingWindow:
    if seconds < window.left:
        return SlidingWindow(window.previous, window.current, window.left - seconds)
    left = window.left + limit.seconds - seconds
    return SlidingWindow(window.current, 0, left) if left > 0 else SlidingWindow(0, 0, limit.seconds)
