"""Handling of a contender that fails during a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks import figures
from benchmarks.processes import StackError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.turn import Contender


def take(
    contender: Contender,
    missing: dict[str, str],
    say: Callable[[str], None],
    photo: Path,
    *,
    part: str = "",
    warm_up: float,
    seconds: float,
    callers: int = 1,
    crowds: list[dict[str, Any]] | None = None,
) -> dict[str, Any] | None:
    """Perform a turn and return its record; None for a peer that fails or failed before.

    A failed peer is added to `missing` with the reason, for `part` only if that is given. Each turn has a second
    attempt, which the record marks. Raises `StackError` if our stack or the bare loop fails twice.
    """
    name = f"{contender.name}, {part}" if part else contender.name
    if name in missing:
        return None
    try:
        return contender.turn(photo, warm_up, seconds, callers=callers, crowds=crowds)
    except StackError as error:
        say(f"once more: {name}: {error}")
    try:
        return contender.turn(photo, warm_up, seconds, callers=callers, crowds=crowds) | {"retried": True}
    except StackError as error:
        if contender.kind != figures.PEER:
            raise
        missing[name] = f"failed: {error}"
        say(f"missing: {name} {missing[name]}")
        return None
