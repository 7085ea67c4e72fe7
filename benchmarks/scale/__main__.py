"""`python -m benchmarks.scale`, or `make scale`: one gateway before 1 to 32 enclaves whose function waits.

It ends with 1 if the throughput of a fleet is less than 0.9 of linear. Of a model only its labels are used.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from benchmarks import docs, planning, recorded
from benchmarks.scale import pages, run
from benchmarks.soak.run import imported

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

QUICK: Final = run.Plan(
    sizes=(1, 2, 4), rounds=1, warm_up=1.0, seconds=3.0, bodies=(("form", 13_000), ("sealed", 13_000)),
    idle_seconds=3.0,
)  # fmt: skip


def main() -> int:
    """Measure, print the tables, store the result. Returns the exit status."""
    options = _parser().parse_args()

    def measure(out: Path) -> dict[str, Any]:
        told = {name: getattr(options, name) for name in ("sizes", "rounds", "seconds", "sleep")}
        plan = QUICK if options.quick else run.Plan()
        plan = replace(plan, **{name: value for name, value in told.items() if value is not None})
        return run.measure(plan, options.model or imported(options.onnx, out / "model"), out, recorded.say)

    return _SCALE.run(options, measure)


def _write(result: dict[str, Any], root: Path) -> None:
    pages.write(result, root)
    planning.write(root)


_SCALE: Final = recorded.Recorded(
    "scale", pages.RESULTS, f"{pages.PAGE}, {planning.PAGE}", docs.dumped, pages.text, pages.breaches, _write
)


def _parser() -> argparse.ArgumentParser:
    parser = _SCALE.parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="three small fleets, half a minute")
    parser.add_argument("--sizes", type=_numbers, help="numbers of enclaves (default 1,2,4,8,16,32)")
    parser.add_argument("--rounds", type=int, help="rounds of all fleets (default 5)")
    parser.add_argument("--seconds", type=float, help="seconds of a turn (default 10)")
    parser.add_argument("--sleep", type=float, help="seconds for which the function waits (default 0.2)")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(item) for item in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
