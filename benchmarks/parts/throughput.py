"""Throughput and latency: all contenders take turns, and each turn is compared with its neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks import figures
from benchmarks.parts import attempt
from benchmarks.processes import StackError

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.plan import Plan
    from benchmarks.turn import Contender

_SCORE_TOLERANCE = 1e-4
"""Between contenders, whose sessions may use other kernels."""


def measure(
    plan: Plan, contenders: list[Contender], missing: dict[str, str], say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Return the turns. A peer that fails is added to `missing`, and its turns are dropped.

    Raises `StackError` if our stack or the bare loop fails, or if contenders of one precision give different answers.
    """
    lengths = plan.lengths
    order = [
        (callers, contender)
        for callers in lengths.callers
        for contender in contenders
        if contender.callers[0] <= callers <= contender.callers[1]
    ]
    turns: list[dict[str, Any]] = []
    for number in range(lengths.rounds):
        # Every other round backwards, so that a drift of the machine favours none.
        for beside, contender in order if number % 2 == 0 else reversed(order):
            callers = 1 if contender.kind == figures.BARE else beside
            record = attempt.take(
                contender, missing, say, plan.photo, warm_up=lengths.warm_up, seconds=lengths.seconds, callers=callers
            )
            if record is None:
                continue
            turns.append(described(contender, number, beside, callers) | record)
            say(
                f"round {number + 1}/{lengths.rounds}  {contender.precision:6} {contender.name:36}"
                f" {callers:3} callers {figures.throughput(record):7.2f} images/s"
            )
    turns = [turn for turn in turns if turn["contender"] not in missing]
    check_agreement(turns)
    for turn in turns:
        del turn["predictions"]
    return turns


def described(contender: Contender, number: int, beside: int, callers: int) -> dict[str, Any]:
    """The members of a turn's record that name the contender, its callers and its neighbours."""
    who = {"contender": contender.name, "kind": contender.kind, "precision": contender.precision}
    return {"round": number, "beside": beside, **who, "callers": callers}


def check_agreement(turns: list[dict[str, Any]]) -> None:
    """Raise `StackError` unless all contenders of a precision gave the same answer, as a comparison requires."""
    first: dict[str, dict[str, Any]] = {}
    for turn in turns:
        reference = first.setdefault(turn["precision"], turn)
        for item, expected in zip(turn["predictions"], reference["predictions"], strict=True):
            if item["label"] != expected["label"] or abs(item["score"] - expected["score"]) > _SCORE_TOLERANCE:
                raise StackError(f"{turn['contender']} answers differently from {reference['contender']}")
