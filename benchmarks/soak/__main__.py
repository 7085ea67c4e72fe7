"""`python -m benchmarks.soak`, or `make soak`: a stack at saturation for half an hour.

It ends with 1 if a bound is broken, an answer was wrong, or an error came that is not documented.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

import psutil

from benchmarks.processes import ROOT, StackError
from benchmarks.soak import pages, run

ASSETS = os.environ.get("BLINDSIGHT_ASSETS")
WARM_UP_SHARE = 0.25


def main() -> int:
    """Run the soak, print the table, store the result. Returns the exit status."""
    options = _parser().parse_args()
    if not (options.committed or (options.photos and (options.model or options.onnx))):
        print("soak: set BLINDSIGHT_ASSETS, or give --photos and --model", file=sys.stderr)
        return 1
    out: Path = options.out.resolve()
    try:
        if options.committed:
            result = json.loads((ROOT / pages.RESULTS).read_text())
        else:
            out.mkdir(parents=True, exist_ok=True)
            plan = run.Plan(
                seconds=options.seconds,
                warm_up=options.seconds * WARM_UP_SHARE if options.warm_up is None else options.warm_up,
                window=min(run.WINDOW_SECONDS, options.seconds / 8),
                every=options.every,
            )
            model = options.model or run.imported(options.onnx, out / "model")
            result = run.soak(plan, model, run.files(options.photos), out, _say)
            result["command"] = shlex.join(["python", "-m", "benchmarks.soak", *sys.argv[1:]])
            (out / "soak.json").write_text(pages.dumped(result))
    except (StackError, OSError, psutil.Error) as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    print(pages.text(result))
    for breach in result["breaches"]:
        print(f"BROKEN  {breach}", file=sys.stderr)
    if options.write_docs:
        pages.write(result, ROOT)
    return 1 if result["breaches"] else 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    assets = Path(ASSETS) if ASSETS else None
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1800.0, help="with the warm-up (default 1800)")
    parser.add_argument("--warm-up", type=float, help="seconds before the first window (default a quarter)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between samples (default 5)")
    parser.add_argument("--model", type=Path, help="a model directory instead of --onnx")
    parser.add_argument(
        "--onnx",
        type=Path,
        default=assets and assets / "models" / "mobilenet_v2_imagenet.onnx",
        help="an ONNX classifier with imagenet_classes.txt beside it (default MobileNetV2 of $BLINDSIGHT_ASSETS)",
    )
    parser.add_argument(
        "--photos", type=Path, default=assets and assets / "images", help="folder (default that of $BLINDSIGHT_ASSETS)"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out" / "soak", help="folder for results")
    parser.add_argument("--committed", action="store_true", help=f"run nothing: the results in {pages.RESULTS}")
    parser.add_argument("--write-docs", action="store_true", help=f"write {pages.RESULTS} and docs/performance.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
