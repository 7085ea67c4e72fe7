"""`python -m benchmarks run`: measure, write the results as JSON and, with `--write-docs`, as table and plot."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import psutil

from benchmarks.inputs import default_model, default_photo
from benchmarks.measure import Plan, measure
from benchmarks.report import text_table, write_docs
from benchmarks.stack import StackError

ROOT = Path(__file__).resolve().parent.parent
ASSETS = os.environ.get("BLINDSIGHT_ASSETS")


def main() -> int:
    """Run one command; one line on standard error says what went wrong."""
    options = _parser().parse_args()
    try:
        out: Path = options.out.resolve()
        out.mkdir(parents=True, exist_ok=True)
        if options.command == "run":
            plan = Plan(
                model=(options.model_dir or default_model(out / "model")).resolve(),
                photo=(options.photo or default_photo(out, Path(ASSETS) if ASSETS else None)).resolve(),
                rounds=options.rounds,
                seconds=options.seconds,
                warm_up=options.warm_up,
                callers=options.callers,
            )
            results = measure(plan, out / "work", say=lambda line: print(line, file=sys.stderr, flush=True))
            results["command"] = "python -m benchmarks " + " ".join(sys.argv[1:])
            (out / "latest.json").write_text(json.dumps(results, indent=1))
        else:
            results = json.loads((out / "latest.json").read_text())
        print(text_table(results))
        if options.write_docs:
            write_docs(results, ROOT / "docs")
    except (StackError, OSError, psutil.Error) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure all contenders, interleaved")
    run.add_argument(
        "--model-dir", type=Path, help="model directory (default: ResNet50 with untrained weights, seed 0)"
    )
    run.add_argument("--photo", type=Path, help="the photo (default: dog.jpeg of $BLINDSIGHT_ASSETS, or a made one)")
    run.add_argument("--rounds", type=_count, default=5, help="default %(default)s")
    run.add_argument("--seconds", type=float, default=5.0, help="of each turn, warm-up apart (default %(default)s)")
    run.add_argument("--warm-up", type=float, default=1.5, help="seconds before each turn (default %(default)s)")
    run.add_argument("--callers", type=_numbers, default=[1, 4, 16], help="concurrent callers (default 1,4,16)")
    show = commands.add_parser("report", help="print, and with --write-docs write, the last results again")
    for command in (run, show):
        command.add_argument(
            "--out", type=Path, default=ROOT / "benchmarks" / "out", help="folder of results and caches"
        )
        command.add_argument("--write-docs", action="store_true", help="write docs/performance.md and its plot")
    return parser


def _numbers(text: str) -> list[int]:
    return [_count(item) for item in text.split(",")]


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


if __name__ == "__main__":
    sys.exit(main())
