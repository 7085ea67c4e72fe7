"""One run: installs and starts the contenders, and collects the results of the parts."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from benchmarks import environments, figures, instrument, machine
from benchmarks.contenders import PLAIN, Starter
from benchmarks.environments import PEERS, Environment
from benchmarks.parts import memory, noop, sealing, sizes, start, storm, throughput
from benchmarks.processes import StackError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.plan import Plan
    from benchmarks.turn import Contender

FORMAT = "blindsight-benchmark/1"

_SHARED = {"throughput", "sealing", "sizes", "storm", "memory"}
"""Parts that measure the same running services."""


def measure(
    plan: Plan, out: Path, say: Callable[[str], None], keep: Callable[[dict[str, Any]], None] = lambda _: None
) -> dict[str, Any]:
    """Measure the parts of `plan`; `out` is the folder for environments, caches and work files.

    `keep` is called with the results so far after each part. Raises `StackError` if our stack or the bare loop fails.
    """
    work = out / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    began = datetime.now(UTC)
    ready, missing = _installed(plan, out, say)
    results: dict[str, Any] = {
        "format": FORMAT,
        "date": began.isoformat(timespec="seconds"),
        "machine": machine.machine_facts(),
        "versions": machine.versions(),
        "models": {precision: machine.model_facts(model) for precision, model in plan.models.items()},
        "photo": machine.photo_facts(plan.photo),
        "plan": {"parts": list(plan.parts), "tuned": plan.tuned, **asdict(plan.lengths)},
        "peers": {each.peer.name: each.version for each in ready},
        "missing": missing,
    }
    with instrument.running("load") as generator:
        if _SHARED & set(plan.parts):
            with contextlib.ExitStack() as services:
                contenders = Starter(plan, ready, missing, generator, work, services, say).start()
                for part, found in _shared(plan, contenders, missing, out, say):
                    results[part] = found
                    keep(results)
        if "noop" in plan.parts:
            model = plan.models[plan.baseline]
            results["noop"] = noop.measure(plan, model, generator, work / "noop", say)
            keep(results)
    if "start" in plan.parts:
        served = [each for each in ready if each.peer.name not in missing]
        results["start"] = start.measure(plan, served, missing, work / "start", say)
    results["minutes"] = round((datetime.now(UTC) - began).total_seconds() / 60, 1)
    keep(results)
    return results


def without_latencies(results: dict[str, Any]) -> dict[str, Any]:
    """`results` without single latencies and the memory of single turns, which no table shows: the committed form."""
    if "throughput" not in results:
        return results
    turns = [
        {name: value for name, value in turn.items() if name not in {"latencies_ms", "memory"}}
        for turn in results["throughput"]["turns"]
    ]
    return results | {"throughput": {"rows": results["throughput"]["rows"], "turns": turns}}


def _shared(
    plan: Plan, contenders: list[Contender], missing: dict[str, str], out: Path, say: Callable[[str], None]
) -> Iterator[tuple[str, Any]]:
    """Yield name and results of each part that measures the running services."""
    if "throughput" in plan.parts:
        turns = throughput.measure(plan, contenders, missing, say)
        yield "throughput", {"rows": figures.rows(turns, plain=PLAIN), "turns": turns}
    contenders = [each for each in contenders if each.name not in missing]
    if "sealing" in plan.parts:
        yield "sealing", sealing.measure(plan, contenders, say)
    if "sizes" in plan.parts:
        yield "sizes", sizes.measure(plan, contenders, missing, say, out)
    if "memory" in plan.parts:
        yield "memory", memory.measure(plan, contenders, say)
    if "storm" in plan.parts:
        yield "storm", storm.measure(plan, contenders, missing, say)


def _installed(plan: Plan, out: Path, say: Callable[[str], None]) -> tuple[list[Environment], dict[str, str]]:
    """The environments of the plan's peers, and the reasons why others are missing."""
    ready, missing = [], {}
    for key, peer in PEERS.items():
        if key not in plan.peers:
            missing[peer.name] = "not asked for"
            continue
        try:
            ready.append(environments.installed(peer, out / "peers" / key, say))
        except (StackError, OSError) as error:
            missing[peer.name] = str(error)
            say(f"missing: {error}")
    return ready, missing
