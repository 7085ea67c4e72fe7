"""`python -m benchmarks run`: measure, print, and store the results as JSON and, with `--write-docs`, in the pages."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from benchmarks import docs, tables
from benchmarks.environments import PEERS
from benchmarks.inputs import default_model, default_photo
from benchmarks.measure import measure
from benchmarks.plan import FULL, PARTS, QUICK, Plan
from benchmarks.processes import ROOT, StackError

ASSETS = os.environ.get("BLINDSIGHT_ASSETS")
_LATEST = "latest.json"
_SHOWN = {
    "throughput": ("throughput", "processor_time", "stages"),
    "sealing": ("sealing",),
    "sizes": ("sizes",),
    "storm": ("storm",),
    "memory": ("memory",),
    "noop": ("noop",),
    "start": ("start",),
}


def main() -> int:
    """Run one command. Returns the exit status: 0, or 1 after an error, which is one line on standard error."""
    options = _parser().parse_args()
    out: Path = options.out.resolve()
    try:
        out.mkdir(parents=True, exist_ok=True)
        if options.command == "run":
            command = {"command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])}

            def keep(found: dict[str, Any]) -> None:
                (out / _LATEST).write_text(docs.dumped(found | command))

            results = measure(_plan(options, out), out, _say, keep) | command
        else:
            results = json.loads((ROOT / docs.RESULTS if options.committed else out / _LATEST).read_text())
        for part, names in _SHOWN.items():
            for name in names if part in results else ():
                print(f"\n{name.replace('_', ' ')}\n{tables.text(getattr(tables, name)(results))}")
        if options.write_docs:
            docs.write(results, ROOT)
    except (StackError, OSError, psutil.Error) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _plan(options: argparse.Namespace, out: Path) -> Plan:
    lengths = QUICK if options.quick else FULL
    told = {name: getattr(options, name) for name in ("rounds", "seconds", "warm_up", "callers")}
    models = dict(options.model or [])
    return Plan(
        models={name: path.resolve() for name, path in models.items()} or {"float": default_model(out / "model")},
        photo=(options.photo or default_photo(out, Path(ASSETS) if ASSETS else None)).resolve(),
        peers=options.peers if options.peers is not None else (("fastapi",) if options.quick else tuple(PEERS)),
        tuned=not options.quick and not options.only_default_peers,
        parts=tuple(part for part in PARTS if part in (options.only or PARTS)),
        lengths=replace(lengths, **{name: value for name, value in told.items() if value is not None}),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure all contenders in turns")
    run.add_argument(
        "--quick", action="store_true", help="three minutes instead of half an hour, with FastAPI as the only peer"
    )
    run.add_argument("--only", action="append", choices=PARTS, help="only this part; may be repeated (default: all)")
    run.add_argument(
        "--model",
        action="append",
        type=_model,
        metavar="PRECISION=DIR",
        help="model directory of a precision, such as float=DIR, the baseline first; may be repeated"
        " (default: float, ResNet50 with untrained weights, seed 0)",
    )
    run.add_argument(
        "--photo", type=Path, help="the photo (default: dog.jpeg of $BLINDSIGHT_ASSETS, or a synthetic one)"
    )
    run.add_argument(
        "--peers",
        type=_peers,
        metavar="LIST",
        help=f"peers, separated by commas, or `none` (default: {','.join(PEERS)})",
    )
    run.add_argument(
        "--only-default-peers",
        action="store_true",
        help="only peers with default settings, not with one worker for each processor",
    )
    run.add_argument("--rounds", type=_count, help=f"rounds of throughput and sealing (default {FULL.rounds})")
    run.add_argument("--seconds", type=float, help=f"seconds of a turn, without its warm-up (default {FULL.seconds:g})")
    run.add_argument("--warm-up", type=float, help=f"seconds before each turn (default {FULL.warm_up:g})")
    run.add_argument("--callers", type=_numbers, help="numbers of concurrent callers (default 1,4,16)")
    show = commands.add_parser("report", help="print the last results again; with --write-docs, also write the pages")
    show.add_argument("--committed", action="store_true", help=f"the results in {docs.RESULTS}")
    for command in (run, show):
        command.add_argument(
            "--out", type=Path, default=ROOT / "benchmarks" / "out", help="folder for results, environments and caches"
        )
        command.add_argument(
            "--write-docs", action="store_true", help=f"write {docs.RESULTS}, README, docs/performance.md and its plots"
        )
    return parser


def _model(text: str) -> tuple[str, Path]:
    name, separator, path = text.partition("=")
    if not (name and separator and (Path(path) / "model.json").is_file()):
        raise argparse.ArgumentTypeError(f"{text} is not PRECISION=DIR with a model directory")
    return name, Path(path)


def _peers(text: str) -> tuple[str, ...]:
    names = () if text == "none" else tuple(text.split(","))
    if unknown := set(names) - set(PEERS):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return names


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(_count(item) for item in text.split(","))


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


if __name__ == "__main__":
    sys.exit(main())
