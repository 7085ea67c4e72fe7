"""The measurement: contenders take turns, and each turn is compared with those beside it.

A round has a turn of the bare loop, the plain service and ours for each number of callers.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from PIL import Image

from benchmarks import figures, stack, usage
from benchmarks.stack import ROOT, Service, StackError

if TYPE_CHECKING:
    from collections.abc import Callable

_DISTRIBUTIONS = ("onnxruntime", "numpy", "pillow", "fastapi", "uvicorn", "uvloop", "httptools", "cryptography")
_SCORE_TOLERANCE = 1e-4
"""Between contenders, whose sessions may use other kernels."""

_STAGE_SAMPLE = re.compile(r'inference_stage_duration_seconds_(sum|count)\{stage="(\w+)"\} (\S+)')


@dataclass(frozen=True)
class Plan:
    """What is measured, how often and for how long. `seconds` and `warm_up` are of each turn."""

    model: Path
    photo: Path
    rounds: int
    seconds: float
    warm_up: float
    callers: list[int]


def measure(plan: Plan, work: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure all contenders. Raises `StackError` if one cannot be started, or answers wrongly."""
    results = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": _machine(),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in _DISTRIBUTIONS},
        "model": _model(plan.model),
        "photo": _photo(plan.photo),
        "plan": {"rounds": plan.rounds, "seconds": plan.seconds, "warm_up": plan.warm_up, "callers": plan.callers},
    }
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    turns: list[dict[str, Any]] = []
    with contextlib.ExitStack() as services:
        plain = services.enter_context(stack.plain(plan.model, work))
        ours = services.enter_context(stack.blindsight(plan.model, work))
        order = [(callers, service) for callers in plan.callers for service in (None, plain, ours)]
        for number in range(plan.rounds):
            # Every other round backwards, so that a drift of the machine favours no service.
            for beside, service in order if number % 2 == 0 else reversed(order):
                name, callers = (service.name, beside) if service else (figures.BARE, 1)
                turn = _service_turn(plan, service, callers) if service else _bare_turn(plan)
                turns.append({"round": number, "beside": beside, "contender": name, "callers": callers} | turn)
                rate = figures.throughput(turn)
                say(f"round {number + 1}/{plan.rounds}  {name:14} {callers:3} callers {rate:7.2f} images/s")
    _check_agreement(turns)
    return results | {"turns": turns}


def _bare_turn(plan: Plan) -> dict[str, Any]:
    turn = ["bare_loop", str(plan.model), str(plan.photo), str(plan.warm_up), str(plan.seconds)]
    with _harness_process(turn) as process:
        return _result(process)


def _service_turn(plan: Plan, service: Service, callers: int) -> dict[str, Any]:
    arguments = [service.port, plan.photo, callers, plan.warm_up, plan.seconds]
    with _harness_process(["load", *map(str, arguments)]) as process:
        _expect(process, "begin")
        before, stages = usage.snapshot(service.processes), _stages(service)
        _expect(process, "end")
        after = usage.snapshot(service.processes)
        stages_after = _stages(service)
        memory = usage.memory(service.processes)
        turn = _result(process)
    turn["usage"] = usage.between(before, after, turn["seconds"])
    turn["usage"]["cpu_seconds"]["generator"] = turn.pop("generator_cpu_seconds")
    turn["memory"] = memory
    turn["stages"] |= _means(stages, stages_after)
    return turn


def _harness_process(module_and_arguments: list[str]) -> subprocess.Popen[str]:
    module, *arguments = module_and_arguments
    paths = os.pathsep.join([str(ROOT), str(ROOT / "enclave_function")])
    return subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    )


def _expect(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    if process.stdout.readline().strip() != word:
        raise StackError("the load generator ended early; its message stands above")


def _result(process: subprocess.Popen[str]) -> dict[str, Any]:
    output = process.communicate()[0]
    if process.returncode:
        raise StackError("a turn failed; its message stands above")
    result: dict[str, Any] = json.loads(output)
    return result


def _stages(service: Service) -> dict[str, tuple[float, float]]:
    """Sum in seconds and count of each stage in the gateway's metrics so far; nothing for a service without."""
    if service.metrics_port is None:
        return {}
    with stack.DIRECT.open(f"http://127.0.0.1:{service.metrics_port}/metrics") as response:
        samples = _STAGE_SAMPLE.findall(response.read().decode())
    found = {(stage, kind): float(value) for kind, stage, value in samples}
    return {stage: (found[stage, "sum"], found[stage, "count"]) for stage, _ in found}


def _means(before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]]) -> dict[str, float]:
    means: dict[str, float] = {}
    for stage in ("seal", "open"):
        if stage in after:
            total, count = (late - early for late, early in zip(after[stage], before[stage], strict=True))
            means[stage] = total / count
    return means


def _check_agreement(turns: list[dict[str, Any]]) -> None:
    """All contenders must have classified the same photo with the same model, or their times compare nothing."""
    first = turns[0]["predictions"]
    for turn in turns:
        for item, expected in zip(turn["predictions"], first, strict=True):
            if item["class_id"] != expected["class_id"] or abs(item["score"] - expected["score"]) > _SCORE_TOLERANCE:
                raise StackError(f"{turn['contender']} answers differently from {turns[0]['contender']}")


def _machine() -> dict[str, Any]:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "processor": found[1] if found else platform.processor(),
        "processors": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }


def _model(folder: Path) -> dict[str, Any]:
    manifest = json.loads((folder / "model.json").read_text())
    return {
        "name": manifest["name"],
        "version": manifest["version"],
        "trained": manifest["trained"],
        "onnx": manifest["onnx"],
    }


def _photo(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    with Image.open(path) as image:
        return {
            "name": path.name,
            "bytes": len(content),
            "width": image.width,
            "height": image.height,
            "sha256": hashlib.sha256(content).hexdigest(),
        }
