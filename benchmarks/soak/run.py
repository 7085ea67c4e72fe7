"""One soak: a stack, its callers, the samples of its processes, and the result."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import uvloop

from benchmarks import machine, processes, stack
from benchmarks.soak import photos as soak_photos
from benchmarks.soak.callers import Crowd, Tally, saturate, watching
from benchmarks.soak.samples import Samples
from benchmarks.soak.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.stack import Service

FORMAT = "blindsight-soak/1"
WINDOW_SECONDS = 180.0
KEY_SECONDS = 60
"""Lifetime of the enclave's keys, an hour by default. The runtime remembers the messages of a key until the key is
erased, five minutes after it was replaced: with this lifetime that memory is full after six minutes, and keys change in
every soak.
"""
_METRIC = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_TOLD_SECONDS = 60.0


@dataclass(frozen=True)
class Plan:
    """Lengths in seconds: of all, of the warm-up, of each window that is compared, and between samples."""

    seconds: float
    warm_up: float
    window: float
    every: float
    crowd: Crowd = field(default_factory=Crowd)


def imported(onnx: Path, out: Path) -> Path:
    """The model directory of an ONNX classifier. Raises `StackError`."""
    labels = onnx.parent / "imagenet_classes.txt"
    processes.run("model_build", "build", "--onnx", str(onnx), "--labels", str(labels), "--out", str(out))
    return out


def files(folder: Path) -> list[Path]:
    """The photos below a folder, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpeg", ".jpg", ".png", ".webp"})


def soak(plan: Plan, model: Path, paths: list[Path], out: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Run it; `out` is the folder for the stack's files. Raises `StackError`."""
    say(f"asking the function itself about {len(paths)} photos")
    photos = soak_photos.answered(model, paths)
    wrong = soak_photos.refused(photos[0].content)
    work = out / "work"
    work.mkdir(exist_ok=True)
    samples, tally = Samples(), Tally()
    began = datetime.now(UTC)
    options = ["--key-seconds", str(KEY_SECONDS)]
    with stack.blindsight(stack.bundled(model, work), work, options) as service:
        start = time.monotonic()

        def look() -> None:
            samples.take(time.monotonic() - start, service.roles())

        async def under_load() -> None:
            until = asyncio.Event()
            asyncio.get_running_loop().call_later(plan.seconds, until.set)
            async with asyncio.TaskGroup() as group:
                group.create_task(saturate(plan.crowd, service, photos, wrong, tally=tally, until=until))
                group.create_task(watching(plan.every, until, look))
                group.create_task(watching(_TOLD_SECONDS, until, lambda: say(_progress(start, tally))))

        uvloop.run(under_load())
        lasted = time.monotonic() - start
        found = counted(service)
    verdict = judge(samples, warm_up=plan.warm_up, window=plan.window)
    breaches = [*verdict.breaches, *_faults(tally), *from_metrics(found), *from_logs(work)]
    return {
        "format": FORMAT,
        "date": began.isoformat(timespec="seconds"),
        "machine": machine.machine_facts(),
        "versions": machine.versions(),
        "model": machine.model_facts(model),
        "plan": {**asdict(plan), "key_seconds": KEY_SECONDS, "photos": len(photos)},
        "seconds": round(lasted, 1),
        "images": tally.images,
        "answers": dict(tally.answers),
        "slowest_seconds": round(tally.slowest, 1),
        "refusals": dict(tally.refusals),
        "faults": dict(tally.faults),
        "statuses": dict(found["http_requests_total"]),
        "worker_restarts": found["enclave_worker_restarts"].total(),
        "rows": [asdict(row) for row in verdict.rows],
        "breaches": breaches,
        "samples": samples.to_json(),
    }


def _progress(start: float, tally: Tally) -> str:
    return (
        f"{time.monotonic() - start:5.0f} s  {tally.images} images  {tally.refusals.total()} refusals"
        f"  {tally.faults.total()} faults"
    )


def counted(service: Service) -> dict[str, Counter[str]]:
    """The gateway's counts: requests by status, and workers that the enclave has replaced."""
    with processes.DIRECT.open(f"http://127.0.0.1:{service.metrics_port}/metrics") as response:
        found = _METRIC.findall(response.read().decode())
    counted: dict[str, Counter[str]] = {"http_requests_total": Counter(), "enclave_worker_restarts": Counter()}
    for name, labels, value in found:
        if name in counted:
            status = re.search(r'status="(\d+)"', labels)
            counted[name][status[1] if status else labels] += int(float(value))
    return counted


def _faults(tally: Tally) -> list[str]:
    missing = [] if tally.images else ["no image was classified"]
    return missing + [f"{count} times: {fault}" for fault, count in tally.faults.items()]


def from_metrics(counted: dict[str, Counter[str]]) -> list[str]:
    restarts = counted["enclave_worker_restarts"].total()
    lines = [f"the enclave replaced {restarts} workers"] if restarts else []
    unexpected = {status for status in counted["http_requests_total"] if status[0] == "5"} - {"503", "504"}
    return lines + [f"the gateway answered with status {status}" for status in sorted(unexpected)]


def from_logs(work: Path) -> list[str]:
    """Lines of the logs that tell of an error, by event."""
    found: Counter[str] = Counter()
    for name in ("gateway", "enclave"):
        for line in (work / f"{name}.log").read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                found[f"the {name}'s log has a line that is not JSON"] += 1
                continue
            if entry.get("level") in {"error", "critical"}:
                found[f"the {name} logged an error: {entry.get('event')}"] += 1
    return [f"{count} times: {what}" for what, count in found.items()]
