"""`python -m benchmarks.refusals`: what callers who ignore `Retry-After` cost those who are answered.

A few polite callers keep the gateway busy, alone and beside many who ask again as soon as they are refused, in turns.
What counts is the good answers of all of them. Callers are threads of processes of their own, which share the machine
with what they load.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import psutil

from benchmarks import stack, usage
from benchmarks.inputs import default_model, default_photo
from benchmarks.stack import ROOT, StackError

if TYPE_CHECKING:
    from benchmarks.stack import Service

_TIMEOUT_SECONDS = 60.0


@dataclass
class Crowd:
    """Callers of one kind, and what they got."""

    port: int
    photo: bytes
    polite: bool
    reconnect: bool
    stop: threading.Event = field(default_factory=threading.Event)
    ends: list[tuple[float, int]] = field(default_factory=list)
    """When each answer came, and its status; 0 if the connection was lost instead."""

    def call_repeatedly(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT_SECONDS)
        headers = {"Content-Type": "image/jpeg"} | ({"Connection": "close"} if self.reconnect else {})
        while not self.stop.is_set():
            wait = 0.0
            try:
                connection.request("POST", "/classify", self.photo, headers)
                response = connection.getresponse()
                response.read()
                status = response.status
                if status == 503 and self.polite:
                    wait = float(response.headers["Retry-After"])
            except (OSError, http.client.HTTPException):
                connection.close()
                status = 0
            self.ends.append((time.perf_counter(), status))
            self.stop.wait(wait)
        connection.close()


def call(port: int, photo: Path, callers: int, warm_up: float, seconds: float, *how: str) -> dict[str, float]:
    """Let `callers` call for `warm_up` and `seconds`; how many answers of each kind came a second in the latter."""
    crowd = Crowd(port, photo.read_bytes(), polite="polite" in how, reconnect="reconnect" in how)
    threads = [threading.Thread(target=crowd.call_repeatedly, daemon=True) for _ in range(callers)]
    for thread in threads:
        thread.start()
    time.sleep(warm_up)
    began, cpu = time.perf_counter(), time.process_time()
    time.sleep(seconds)
    ended, cpu = time.perf_counter(), time.process_time() - cpu
    crowd.stop.set()
    counted = [status for moment, status in crowd.ends if began <= moment <= ended]
    length = ended - began
    return {
        "good": counted.count(200) / length,
        "refused": counted.count(503) / length,
        "other": sum(status not in {200, 503} for status in counted) / length,
        "processor": cpu / length,
    }


@dataclass(frozen=True)
class Turn:
    """Answers a second to polite and to impolite callers, and who used the processors."""

    polite: dict[str, float]
    impolite: dict[str, float]
    processors: dict[str, float]

    @property
    def good(self) -> float:
        return self.polite["good"] + self.impolite.get("good", 0.0)


def _let_end(service: Service) -> None:
    """Wait until no request of an earlier turn is at work any more."""
    end = time.monotonic() + _TIMEOUT_SECONDS
    while time.monotonic() < end:
        with urllib.request.urlopen(f"http://127.0.0.1:{service.metrics_port}/metrics") as response:
            if b"\nrequests_in_progress 0.0" in response.read():
                return
        time.sleep(0.1)
    raise StackError("requests of an earlier turn do not end")


def turn(service: Service, photo: Path, options: argparse.Namespace, *, impolite: int) -> Turn:
    """One turn of both kinds of callers at once."""
    _let_end(service)
    kinds = [(options.polite, ("polite",)), (impolite, ("reconnect",) if options.reconnect else ())]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.refusals", "call", str(service.port), str(photo), str(callers),
             str(options.warm_up), str(options.seconds), *how],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )
        for callers, how in kinds
        if callers
    ]  # fmt: skip
    time.sleep(options.warm_up)
    before = usage.snapshot(service.processes)
    time.sleep(options.seconds)
    after = usage.snapshot(service.processes)
    answers = []
    for process in processes:
        output = process.communicate()[0]
        if process.returncode:
            raise StackError("the load generator failed; its message stands above")
        answers.append(json.loads(output))
    if not sum(answer["good"] for answer in answers):
        raise StackError("no request was answered in a turn; give it more --seconds, or the machine less to do")
    spent = usage.between(before, after, options.seconds)["cpu_seconds"]
    return Turn(
        answers[0],
        answers[1] if len(answers) > 1 else {},
        {name: seconds / options.seconds for name, seconds in spent.items()},
    )


def report(alone: list[Turn], crowded: list[Turn], options: argparse.Namespace) -> str:
    """The table, as Markdown."""
    kept = sorted(one.good / other.good for one, other in zip(crowded, alone, strict=True))
    rows = [
        ("good answers a second, alone", [one.good for one in alone]),
        (f"good answers a second, with {options.impolite} impolite", [one.good for one in crowded]),
        ("of them, to polite callers", [one.polite["good"] for one in crowded]),
        ("refusals a second", [one.polite["refused"] + one.impolite["refused"] for one in crowded]),
        (
            "lost connections and other answers a second",
            [one.polite["other"] + one.impolite["other"] for one in crowded],
        ),
        ("gateway, processors", [one.processors["gateway"] for one in crowded]),
        ("workers, processors", [_workers(one) for one in crowded]),
        ("impolite callers, processors", [one.impolite["processor"] for one in crowded]),
    ]
    lines = ["| figure | median | least | greatest |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {name} | {median(found):.2f} | {min(found):.2f} | {max(found):.2f} |" for name, found in rows]
    lines.append(f"| **good answers kept** | **{median(kept):.2f}** | {kept[0]:.2f} | {kept[-1]:.2f} |")
    return "\n".join(lines)


def _workers(one: Turn) -> float:
    return sum(spent for name, spent in one.processors.items() if name.startswith("worker"))


def main() -> int:
    """Measure, print; one line on standard error says what went wrong."""
    if sys.argv[1:2] == ["call"]:
        port, photo, callers, warm_up, seconds, *how = sys.argv[2:]
        print(json.dumps(call(int(port), Path(photo), int(callers), float(warm_up), float(seconds), *how)))
        return 0
    options = _options()
    assets = os.environ.get("BLINDSIGHT_ASSETS")
    out = ROOT / "benchmarks" / "out"
    try:
        out.mkdir(parents=True, exist_ok=True)
        model = (options.model_dir or default_model(out / "model")).resolve()
        photo = (options.photo or default_photo(out, Path(assets) if assets else None)).resolve()
        alone, crowded = [], []
        with tempfile.TemporaryDirectory(prefix="refusals-") as work, stack.blindsight(model, Path(work)) as service:
            for number in range(options.rounds):
                for beside in (0, options.impolite) if number % 2 == 0 else (options.impolite, 0):
                    one = turn(service, photo, options, impolite=beside)
                    (crowded if beside else alone).append(one)
                    print(
                        f"round {number + 1}/{options.rounds}, {beside:3} impolite: {one.good:.2f}/s", file=sys.stderr
                    )
        print(report(alone, crowded, options))
    except (StackError, OSError, psutil.Error) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refusals", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model-dir", type=Path, help="model directory (default: ResNet50 with untrained weights)")
    parser.add_argument("--photo", type=Path, help="default: dog.jpeg of $BLINDSIGHT_ASSETS, or a made one")
    parser.add_argument("--polite", type=int, default=4, help="callers who keep to Retry-After (default %(default)s)")
    parser.add_argument("--impolite", type=int, default=256, help="callers who do not (default %(default)s)")
    parser.add_argument("--reconnect", action="store_true", help="impolite callers connect anew each time")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each kind (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=6.0, help="counted in each turn (default %(default)s)")
    parser.add_argument("--warm-up", type=float, default=4.0, help="seconds before (default %(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
