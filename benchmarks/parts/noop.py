"""Cost of a request outside of the model: the function that answers at once, behind our gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks import figures, inputs, sleeping, stack
from benchmarks.parts import attempt
from benchmarks.parts.throughput import described
from benchmarks.turn import Contender

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.instrument import Instrument
    from benchmarks.plan import Plan

_CALLERS = 4
_UNITS = ("gateway", "enclave runtime")
_BODIES = (("form", 13_000), ("form", 80_000), ("raw", 80_000), ("sealed", 80_000))
"""Lane, and size of the body in bytes."""


def measure(
    plan: Plan, model: Path, generator: Instrument, work: Path, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """One row for each lane and size of body (`row`). Raises `StackError`."""
    work.mkdir()
    bundle = work / "bundle.zip"
    sleeping.bundled(model, 0, bundle)
    with stack.blindsight(bundle, work) as service:
        lengths = plan.lengths
        contenders = [
            (Contender(stack.OURS, figures.OURS, plan.baseline, generator, service, lane), size)
            for lane, size in _BODIES
        ]
        turns: dict[int, list[dict[str, Any]]] = {index: [] for index in range(len(contenders))}
        for number in range(lengths.noop_rounds):
            for index, (contender, size) in enumerate(contenders):
                body = inputs.made_bytes(work, size)
                record = attempt.take(
                    contender, {}, say, body, warm_up=lengths.warm_up, seconds=lengths.noop_seconds, callers=_CALLERS
                )
                assert record is not None
                turns[index].append(described(contender, number, _CALLERS, _CALLERS) | record)
                say(f"no-op  {contender.lane:6} {size:6} bytes {figures.throughput(record):8.1f} requests/s")
    return [row(lane, size, turns[index]) for index, (lane, size) in enumerate(_BODIES)]


def row(lane: str, size: int, turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures of one lane. `per_core`: requests per second of gateway and runtime together on one core."""
    per_core = [1000 / sum(turn["cpu_ms"][unit] for unit in _UNITS) for turn in turns]
    found = {"lane": lane, "bytes": size, "callers": _CALLERS, "per_core": figures.spread(per_core)}
    found |= figures.timings(turns)
    del found["memory"]
    return found
