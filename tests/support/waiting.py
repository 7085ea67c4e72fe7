"""Waiting for something to become true, with a deadline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_PAUSE = 0.02


def wait_until(what: str, condition: Callable[[], T], *, seconds: float = 30.0) -> T:
    """Ask `condition` again and again until it is true, and return what it said. Raises `AssertionError` when late."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(_PAUSE)
    return found
