"""`python -m benchmarks.scale`, or `make scale`: one gateway before 1 to 32 enclaves whose function waits.

It ends with 1 if the throughput of a fleet is less than 0.9 of linear.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import psutil

from benchmarks import docs, planning
from benchmarks.processes import ROOT, StackError
from benchmarks.scale import pages, run
from benchmarks.soak.run import imported

ASSETS = os.environ.get("BLINDSIGHT_ASSETS")
QUICK = run.Plan(
    sizes=(1, 2, 4), rounds=1, warm_up=1.0, seconds=3.0, bodies=(("form", 13_000), ("sealed", 13_000)),
    idle_seconds=3.0,
)  # fmt: skip


def main() -> int:
    """Measure, print the tables, store the result. Returns the exit status."""
    options = _parser().parse_args()
    if not (options.committed or options.model or options.onnx):
        print("scale: set BLINDSIGHT_ASSETS, or give --model", file=sys.stderr)
        return 1
    out: Path = options.out.resolve()
    try:
        if options.committed:
            result = json.loads((ROOT / pages.RESULTS).read_text())
        else:
            out.mkdir(parents=True, exist_ok=True)
            told = {name: getattr(options, name) for name in ("sizes", "rounds", "seconds", "sleep")}
            plan = QUICK if options.quick else run.Plan()
            plan = replace(plan, **{name: value for name, value in told.items() if value is not None})
            model = options.model or imported(options.onnx, out / "model")
            result = run.measure(plan, model, out, _say)
            result["command"] = shlex.join(["python", "-m", "benchmarks.scale", *sys.argv[1:]])
            (out / "scale.json").write_text(docs.dumped(result))
    except (StackError, OSError, psutil.Error) as error:
        print(f"scale: {error}", file=sys.stderr)
        return 1
    print(pages.text(result))
    broken = pages.breaches(result)
    for breach in broken:
        print(f"BROKEN  {breach}", file=sys.stderr)
    if options.write_docs:
        pages.write(result, ROOT)
        planning.write(ROOT)
    return 1 if broken else 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    assets = Path(ASSETS) if ASSETS else None
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three small fleets, half a minute")
    parser.add_argument("--sizes", type=_numbers, help="numbers of enclaves (default 1,2,4,8,16,32)")
    parser.add_argument("--rounds", type=int, help="rounds of all fleets (default 5)")
    parser.add_argument("--seconds", type=float, help="seconds of a turn (default 10)")
    parser.add_argument("--sleep", type=float, help="seconds for which the function waits (default 0.2)")
    parser.add_argument("--model", type=Path, help="a model directory, of which only the labels are used")
    parser.add_argument(
        "--onnx",
        type=Path,
        default=assets and assets / "models" / "mobilenet_v2_imagenet.onnx",
        help="an ONNX classifier with imagenet_classes.txt beside it (default MobileNetV2 of $BLINDSIGHT_ASSETS)",
    )
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out" / "scale", help="folder for results")
    parser.add_argument("--committed", action="store_true", help=f"run nothing: the results in {pages.RESULTS}")
    parser.add_argument(
        "--write-docs", action="store_true", help=f"write {pages.RESULTS}, {pages.PAGE} and {planning.PAGE}"
    )
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(item) for item in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
