"""One campaign: a stack that accepts every format, callers that send mutated photos, and what came of each."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop

from benchmarks import documented, http1, machine, processes, stack
from benchmarks.documented import Undocumented
from benchmarks.mutated.mutations import TWICE, mutated
from benchmarks.mutated.originals import FORMATS, of_photos
from benchmarks.soak.callers import watching
from benchmarks.soak.run import counted, from_logs, from_metrics
from benchmarks.soak.samples import Samples
from benchmarks.soak.verdict import floor, judge
from blindsight.client import AsyncClient
from blindsight.errors import BlindsightError
from blindsight.problems import CATALOGUE, Problem

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.mutated.originals import Original
    from benchmarks.stack import Service

    Say = Callable[[str], None]

FORMAT = "blindsight-mutated/1"
DEADLINE_SECONDS = 30.0
"""Of the gateway by default, within which it answers."""
ANSWERED = "answered"
_LANES = ("raw", "raw", "form", "sealed")
"""Image `number` is sent in lane `number` modulo their number."""
_MOST_KEPT = 20
_TOLD_SECONDS = 30.0
_WINDOW_SHARE, _WARM_UP_SHARE = 0.2, 0.5
MEMORY_SHARE = 0.25
"""By which memory may grow in the second half. A worker's heap settles at what images of all sizes have left in it,
which is chance; the same images again do not make it grow, as a test of the decoders shows.
"""
_SAMPLES = 400


@dataclass(frozen=True)
class Plan:
    """How many images, from which seed, by how many callers at a time."""

    images: int
    seed: str
    callers: int


@dataclass
class Outcomes:
    """What came of the images."""

    latencies: dict[str, list[float]] = field(default_factory=dict)
    """Seconds of each image, by `ANSWERED` or the problem's code."""
    by_format: dict[str, Counter[str]] = field(default_factory=dict)
    by_mutation: dict[str, Counter[str]] = field(default_factory=dict)
    faults: list[dict[str, Any]] = field(default_factory=list)
    """Images that were neither answered nor refused for what they are: number, mutation, and what came."""

    def add(self, image_format: str, mutation: str, outcome: str, seconds: float) -> None:
        self.latencies.setdefault(outcome, []).append(seconds)
        self.by_format.setdefault(image_format, Counter())[outcome] += 1
        for name in mutation.split(TWICE):
            self.by_mutation.setdefault(name, Counter())[outcome] += 1


def imported(onnx: Path, out: Path) -> Path:
    """The model directory of an ONNX classifier for all formats. Raises `StackError`."""
    labels = onnx.parent / "imagenet_classes.txt"
    more = ["--labels", str(labels), "--formats", ",".join(FORMATS), "--out", str(out)]
    processes.run("model_build", "build", "--onnx", str(onnx), *more)
    return out


def run(plan: Plan, model: Path, photos: list[Path], out: Path, say: Say) -> dict[str, Any]:
    """Run it; images that were a fault are written to `out`/faults. Raises `StackError`."""
    say(f"encoding {len(photos)} photos in {len(FORMATS)} formats")
    originals = of_photos(photos)
    work = out / "work"
    work.mkdir(exist_ok=True)
    samples, outcomes = Samples(), Outcomes()
    began = datetime.now(UTC)
    with stack.blindsight(stack.bundled(model, work), work, ["--key-seconds", "60"]) as service:
        start = time.monotonic()
        uvloop.run(_sent(plan, originals, service, outcomes=outcomes, samples=samples, say=say))
        lasted = time.monotonic() - start
        found = counted(service)
    _keep(outcomes, plan, originals, out)
    warm_up, window = lasted * _WARM_UP_SHARE, lasted * _WINDOW_SHARE
    verdict = judge(samples, warm_up=warm_up, window=window, level=floor, share=MEMORY_SHARE)
    slow = sum(each > DEADLINE_SECONDS for latencies in outcomes.latencies.values() for each in latencies)
    return {
        "format": FORMAT,
        "date": began.isoformat(timespec="seconds"),
        "machine": machine.machine_facts(),
        "versions": machine.versions(),
        "plan": {**asdict(plan), "originals": len(originals), "warm_up": round(warm_up), "window": round(window)},
        "seconds": round(lasted, 1),
        "outcomes": {name: _latencies(each) for name, each in _ordered(outcomes.latencies)},
        "all": _latencies([each for latencies in outcomes.latencies.values() for each in latencies]),
        "by_format": {name: dict(each) for name, each in sorted(outcomes.by_format.items())},
        "by_mutation": {name: dict(each) for name, each in sorted(outcomes.by_mutation.items())},
        "faults": outcomes.faults,
        "worker_restarts": found["enclave_worker_restarts"].total(),
        "rows": [asdict(row) for row in verdict.rows],
        "breaches": [
            *(f"image {each['number']} ({each['mutation']}): {each['what']}" for each in outcomes.faults),
            *([f"{slow} images took longer than {DEADLINE_SECONDS:g} s"] if slow else []),
            *verdict.breaches,
            *from_metrics(found),
            *from_logs(work),
        ],
        "samples": samples.to_json(),
    }


async def _sent(
    plan: Plan, originals: list[Original], service: Service, *, outcomes: Outcomes, samples: Samples, say: Say
) -> None:
    numbers, done, start = iter(range(plan.images)), asyncio.Event(), time.monotonic()
    lock = asyncio.Lock()

    def look() -> None:
        samples.take(time.monotonic() - start, service.roles())

    def tell() -> None:
        sent = sum(map(len, outcomes.latencies.values()))
        say(f"{time.monotonic() - start:5.0f} s  {sent} of {plan.images} images  {len(outcomes.faults)} faults")

    async def call() -> None:
        connection = http1.Connection(service.port)
        async with AsyncClient(
            f"http://127.0.0.1:{service.port}", policy=Path(service.lanes["sealed"]["policy"])
        ) as client:
            while True:
                async with lock:  # The mutation takes processor time here, which would make the answer of others late.
                    number = next(numbers, None)
                    if number is None:
                        break
                    image_format, mutation, data = await asyncio.to_thread(mutated, plan.seed, number, originals)
                begun = time.monotonic()
                try:
                    outcome = await _outcome(connection, client, _LANES[number % len(_LANES)], data)
                except Undocumented as fault:
                    outcome = "fault"
                    outcomes.faults.append({"number": number, "mutation": mutation, "what": str(fault)})
                outcomes.add(image_format, mutation, outcome, time.monotonic() - begun)
        connection.close()

    async def callers() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(plan.callers):
                    group.create_task(call())
        finally:
            done.set()

    every = max(min(plan.images / 20 / _SAMPLES, 5.0), 0.2)
    async with asyncio.TaskGroup() as group:
        group.create_task(callers())
        group.create_task(watching(every, done, look))
        group.create_task(watching(_TOLD_SECONDS, done, tell))


async def _outcome(connection: http1.Connection, client: AsyncClient, lane: str, data: bytes) -> str:
    """`ANSWERED`, or the code of the refusal. Raises `Undocumented` for anything that is not one of these."""
    try:
        if lane == "sealed":
            await client.classify(data)
            return ANSWERED
        body, media_type = http1.form(data) if lane == "form" else (data, "application/octet-stream")
        answer = await connection.ask(http1.post("/classify", body, media_type))
        if answer.status == 200:
            documented.classification(answer.content)
            return ANSWERED
        code = documented.problem_code(answer.status, answer.content)
    except Problem as problem:
        code = problem.kind.code
    except (BlindsightError, OSError) as error:
        code = error.code if isinstance(error, BlindsightError) else type(error).__name__
        raise Undocumented(f"{lane}: {code}") from None
    if not 400 <= CATALOGUE[code].status < 500:
        raise Undocumented(f"{lane}: {code}")
    return code


def _keep(outcomes: Outcomes, plan: Plan, originals: list[Original], out: Path) -> None:
    folder = out / "faults"
    folder.mkdir(exist_ok=True)
    for fault in outcomes.faults[:_MOST_KEPT]:
        _, _, data = mutated(plan.seed, fault["number"], originals)
        (folder / f"{plan.seed}-{fault['number']}").write_bytes(data)


def _ordered(latencies: dict[str, list[float]]) -> list[tuple[str, list[float]]]:
    return sorted(latencies.items(), key=lambda item: -len(item[1]))


def _latencies(seconds: list[float]) -> dict[str, float]:
    """Their number, and milliseconds of percentiles."""
    ordered = sorted(seconds)

    def percentile(share: float) -> float:
        return round(1000 * ordered[min(int(len(ordered) * share), len(ordered) - 1)], 1)

    return {"images": len(ordered), "p50_ms": percentile(0.5), "p99_ms": percentile(0.99), "most_ms": percentile(1)}
