"""The cost of a change: compares this checkout with another one, in turns of one run, through `blindsight up`.

    python -m benchmarks.revisions --other ../before --model model.onnx --photo dog.jpeg

Each checkout needs its environment (`make run` once). Prints ratios of this checkout to the other: processor time per
request over all processes of a stack, throughput for each number of callers, and the time from start to ready with a
prepared state. Ratios are medians of neighbouring turns, with the least and the greatest. `--json FILE` stores every
turn.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks import instrument, processes
from benchmarks.processes import ROOT, StackError

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_SECONDS = 180.0
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.02


@dataclass
class Revision:
    """A checkout and its prepared state folder."""

    name: str
    folder: Path
    state: Path
    starts: list[float] = field(default_factory=list)
    """Seconds from start to ready."""

    @contextlib.contextmanager
    def up(self, model: Path, workers: int) -> Iterator[Stack]:
        """The stack, ready. Raises `StackError`."""
        port, metrics_port = processes.free_port(), processes.free_port()
        command = [
            str(self.folder / ".venv" / "bin" / "blindsight"), "up", "--port", str(port), "--tls-port", "0",
            "--metrics-port", str(metrics_port), "--state", str(self.state), "--model", str(model),
            "--workers", str(workers),
        ]  # fmt: skip
        began = time.monotonic()
        with (self.state.parent / f"{self.name}.log").open("ab") as log:
            process = psutil.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        try:
            self._wait_ready(process, port)
            self.starts.append(time.monotonic() - began)
            yield Stack(process, port)
        finally:
            process.terminate()
            process.wait(_STOP_SECONDS)

    def _wait_ready(self, process: psutil.Process, port: int) -> None:
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end and process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz"):
                return
            time.sleep(_POLL_SECONDS)
        raise StackError(f"{self.name} did not become ready; see {self.state.parent}")


@dataclass(frozen=True)
class Stack:
    """A running stack: `blindsight up` and all that it started."""

    process: psutil.Process
    port: int

    def cpu_seconds(self) -> float:
        """Processor time so far of every process of the stack."""
        total = 0.0
        for process in (self.process, *self.process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def turn(self, photo: Path, callers: int, warm_up: float, seconds: float) -> dict[str, float]:
        """Requests a second, and processor milliseconds a request."""
        spec = {"lane": "form", "port": self.port, "photo": str(photo), "crowds": [{"callers": callers}],
                "warm_up": warm_up, "seconds": seconds}  # fmt: skip
        seen: list[float] = []

        def look() -> None:
            seen.append(self.cpu_seconds())

        with instrument.running("load") as load:
            result = load.turn(spec, look, look)
        spent = seen[1] - seen[0]
        answered = result["crowds"][0]["images"]
        return {"rate": answered / result["seconds"], "cpu_ms": 1000 * spent / answered}


def compare(arguments: argparse.Namespace, work: Path) -> dict[str, Any]:
    """All turns, and the start times."""
    both = [Revision("this", ROOT, work / "this"), Revision("other", arguments.other.resolve(), work / "other")]
    turns: list[dict[str, Any]] = []
    with contextlib.ExitStack() as running:
        for revision in both:
            # Builds the model and the bundle; what is timed below is a prepared state.
            with revision.up(arguments.model, arguments.workers):
                revision.starts.clear()
        stacks = {revision.name: running.enter_context(revision.up(arguments.model, arguments.workers))
                  for revision in both}  # fmt: skip
        for number in range(arguments.rounds):
            for callers in arguments.callers:
                order = both if number % 2 == 0 else both[::-1]
                for revision in order:
                    measured = stacks[revision.name].turn(
                        arguments.photo, callers, arguments.warm_up, arguments.seconds
                    )
                    turns.append({"round": number, "revision": revision.name, "callers": callers, **measured})
                    print(f"round {number + 1}  {revision.name:6} {callers:3} callers  {measured['rate']:7.2f}/s"
                          f"  {measured['cpu_ms']:7.2f} ms", flush=True)  # fmt: skip
    for _ in range(arguments.starts):
        for revision in both:
            with revision.up(arguments.model, arguments.workers):
                pass
    return {"turns": turns, "starts": {revision.name: revision.starts for revision in both}}


def report(results: dict[str, Any]) -> str:
    """The ratios in a few lines."""
    lines = []
    turns = results["turns"]
    for callers in sorted({turn["callers"] for turn in turns}):
        for name, figure in (("throughput", "rate"), ("processor time", "cpu_ms")):
            pairs: dict[int, dict[str, float]] = {}
            for turn in turns:
                if turn["callers"] == callers:
                    pairs.setdefault(turn["round"], {})[turn["revision"]] = turn[figure]
            ratios = [pair["this"] / pair["other"] for pair in pairs.values()]
            lines.append(f"{callers:3} callers  {name:15} {median(ratios):.3f} ({min(ratios):.3f}..{max(ratios):.3f})")
    starts = results["starts"]
    this, other = median(starts["this"]), median(starts["other"])
    lines.append(f"start to ready   {this:.2f} s by {other:.2f} s: {this - other:+.2f} s")
    return "\n".join(lines)


def main() -> int:
    """Compare, print, and keep the turns if a file is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--other", type=Path, required=True, help="the other checkout")
    parser.add_argument("--model", type=Path, required=True, help="an ONNX classifier or a model directory")
    parser.add_argument("--photo", type=Path, required=True)
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=6.0, help="of a turn")
    parser.add_argument("--warm-up", type=float, default=1.0)
    parser.add_argument("--starts", type=int, default=5, help="timed starts of each")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    arguments.model, arguments.photo = arguments.model.resolve(), arguments.photo.resolve()
    with tempfile.TemporaryDirectory(prefix="revisions-") as work:
        results = compare(arguments, Path(work))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(report(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
