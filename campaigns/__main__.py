"""`python -m campaigns faults` or `rollout`: run a campaign, print its summary, and store the results.

The exit status is 0 if everything that docs/operations.md promises was kept, and otherwise 1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.processes import ROOT, StackError
from blindsight.interrupt import EXIT_STATUS
from campaigns import disks, report
from campaigns.faults import faults
from campaigns.plan import FAULTS_A_MINUTE, Plan
from campaigns.rollout import rollout
from campaigns.schedule import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_PURPOSES: Final = {
    "faults": "random kills and stalls of every part under load",
    "rollout": "enclaves replaced by those of another release under load",
}
_MOST_PHOTOS: Final = 24
_SCENARIOS: Final[dict[str, Callable[..., Coroutine[Any, Any, dict[str, Any]]]]] = {
    "faults": faults,
    "rollout": rollout,
}


def main() -> int:
    """Run one command. Returns the exit status."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # So that everything is stopped then, too.
    try:
        if options.command == "report":
            results = json.loads((ROOT / report.committed(options.scenario)).read_text())
            print(report.summary(results))
            return 0
        mounted = disks.private_mounts()
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
        out: Path = options.out.resolve()
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="campaign-", ignore_cleanup_errors=True) as folder:
            work = Path(folder)
            work.chmod(0o755)  # Workers have user ids of their own.
            plan = _plan(options, work)
            os.chdir(work)  # So that no gateway reads a checkout's `.env`.
            found = asyncio.run(_SCENARIOS[options.command](plan, work, _say, mounted=mounted))
        command = shlex.join(["python", "-m", "campaigns", *sys.argv[1:]])
        results = report.with_facts(found, date=f"{datetime.now(UTC):%Y-%m-%d}", command=command, load=load)
        (out / f"{options.command}.json").write_text(report.dumped(results))
        print(report.summary(results))
        if options.write_docs:
            report.write(results, options.command, ROOT)
    except (StackError, OSError) as error:
        print(f"campaigns: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("campaigns: interrupted", file=sys.stderr)
        return EXIT_STATUS
    return 0 if results["passed"] else 1


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _plan(options: argparse.Namespace, work: Path) -> Plan:
    """The plan of the options. Raises `StackError` without photos or a model."""
    assets = os.environ.get("BLINDSIGHT_ASSETS")
    images: Path | None = options.images or (Path(assets, "images", "imagenet") if assets else None)
    if images is None:
        raise StackError("name a folder of JPEGs with --images, or set BLINDSIGHT_ASSETS")
    files = sorted(path for path in images.iterdir() if path.suffix.lower() in {".jpg", ".jpeg"})
    step = max(len(files) // _MOST_PHOTOS, 1)
    told = {
        name: getattr(options, name)
        for name in ("seconds", "callers", "enclaves", "gateways", "cape", "redis", "pause", "faults_a_minute",
                     "crowding", "settle", "warm_up")
    }  # fmt: skip
    return Plan(
        model=_model(options.model, assets, work),
        photos=tuple(files[::step][:_MOST_PHOTOS]),
        seed=secrets.randbelow(10**6) if options.seed is None else options.seed,
        kinds=tuple(options.only or ()),
        **told,
    )


def _model(told: Path | None, assets: str | None, work: Path) -> Path:
    if told is not None:
        return told.resolve()
    if assets is None:
        raise StackError("name a model directory with --model, or set BLINDSIGHT_ASSETS")
    models = Path(assets, "models")
    command = [
        sys.executable, "-m", "model_build", "build", "--onnx", str(models / "mobilenet_v2_imagenet.onnx"),
        "--labels", str(models / "imagenet_classes.txt"), "--out", str(work / "model"),
    ]  # fmt: skip
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise StackError(f"the model could not be imported: {done.stderr.strip()}")
    return work / "model"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m campaigns", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, purpose in _PURPOSES.items():
        command = commands.add_parser(name, help=purpose)
        command.add_argument("--seconds", type=float, default=600.0, help="length of the load (default 600)")
        command.add_argument("--seed", type=int, help="of the schedule and the callers (default: random, printed)")
        command.add_argument("--callers", type=int, default=16)
        command.add_argument("--enclaves", type=int, default=3)
        command.add_argument("--gateways", type=int, default=2)
        command.add_argument("--pause", type=float, default=2.5, help="mean seconds between a caller's requests")
        command.add_argument("--faults-a-minute", type=float, default=FAULTS_A_MINUTE, help="(default 12.5)")
        command.add_argument("--only", action="append", choices=KINDS, help="only this kind of fault; may be repeated")
        command.add_argument("--cape", action="store_true", help="gateways are Cape hosts, with PostgreSQL")
        command.add_argument("--redis", action="store_true", help="gateways use a Redis")
        command.add_argument("--crowding", type=float, default=1.0, help="factor of the promised recovery times")
        command.add_argument("--settle", type=float, default=20.0, help="seconds of rest before leaks are counted")
        command.add_argument("--warm-up", type=float, default=10.0, help="seconds of load before the first fault")
        command.add_argument("--model", type=Path, metavar="DIR", help="model directory (default: of the assets)")
        command.add_argument("--images", type=Path, metavar="DIR", help="JPEGs (default: of the assets)")
        command.add_argument("--out", type=Path, default=ROOT / "campaigns" / "out", help="folder of the results")
        command.add_argument(
            "--write-docs", action="store_true", help=f"write campaigns/results and {report.PAGE}, too"
        )
    show = commands.add_parser("report", help="print the summary of the committed results")
    show.add_argument("scenario", choices=_SCENARIOS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
