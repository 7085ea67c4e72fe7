"""Cost of photos of other sizes: one caller, our stack and the plain service in turns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks import figures, inputs
from benchmarks.environments import PEERS
from benchmarks.machine import photo_facts
from benchmarks.parts import attempt
from benchmarks.parts.throughput import described

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.plan import Plan
    from benchmarks.turn import Contender


def measure(
    plan: Plan, contenders: list[Contender], missing: dict[str, str], say: Callable[[str], None], folder: Path
) -> list[dict[str, Any]]:
    """For each photo its facts under `photo`, and under `rows` each contender's `figures.timings`.

    Raises `StackError`.
    """
    ours = {each.precision: each for each in reversed(contenders) if each.kind == figures.OURS}
    plain = [each for each in contenders if each.name == PEERS["fastapi"].name]
    compared = [*(ours[precision] for precision in plan.models), *plain]
    found = []
    for name, width, height, quality in inputs.SIZES:
        photo = inputs.photo(folder, width, height, quality)
        turns: list[dict[str, Any]] = []
        for number in range(plan.lengths.size_rounds):
            for contender in compared if number % 2 == 0 else reversed(compared):
                record = attempt.take(
                    contender, missing, say, photo, part=f"{contender.precision}, {name} photo",
                    warm_up=plan.lengths.warm_up, seconds=plan.lengths.size_seconds,
                )  # fmt: skip
                if record is not None:
                    turns.append(described(contender, number, 1, 1) | record)
        rows = []
        for contender in compared:
            own = [turn for turn in turns
                   if (turn["precision"], turn["contender"]) == (contender.precision, contender.name)]  # fmt: skip
            if not own:
                continue
            row = figures.timings(own) | {"precision": contender.precision, "contender": contender.name}
            del row["memory"]
            rows.append(row)
            say(f"{name}, {width}x{height}: {contender.precision} {contender.name} p50 {row['p50_ms']:.1f} ms")
        found.append({"photo": photo_facts(photo) | {"size": name}, "rows": rows})
    return found
