"""One turn: a contender under load for a counted time, and the resources that its processes used."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks import processes, usage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psutil

    from benchmarks.instrument import Instrument
    from benchmarks.stack import Service

_STAGE_SAMPLE = re.compile(r'inference_stage_duration_seconds_(sum|count)\{stage="(\w+)"\} (\S+)')
_GATEWAYS_STAGES = ("seal", "open")

Record = dict[str, Any]
"""The result of a turn. `answers`, `refused` and `other`: numbers of answers in `seconds`; `images`: the sum of the
shares of the good answers that lie within `seconds`; `latencies_ms` of the good answers; `cpu_ms` by process, and
`generator_cpu_ms`, per image; `stages_ms`; `others_share` of the machine, 0..1; `memory` in bytes."""


@dataclass(frozen=True)
class Contender:
    """A contender. Without `service` it is the process of `instrument`: the bare loop."""

    name: str
    kind: str
    """`figures.BARE`, `OURS` or `PEER`."""
    precision: str
    instrument: Instrument
    service: Service | None = None
    lane: str = "form"
    callers: tuple[int, int] = (1, 1 << 30)
    """The least and the most that take turns at once."""
    more: dict[str, Any] = field(default_factory=dict)
    """Of what the load generator must know of its lane."""

    def turn(
        self, photo: Path, warm_up: float, seconds: float, *, callers: int = 1, crowds: list[Record] | None = None
    ) -> Record:
        """Perform one turn. With `crowds` the record has each crowd's figures under `crowds`, and their sums.

        Raises `StackError`.
        """
        spec = {"warm_up": warm_up, "seconds": seconds, "crowds": crowds or [{"callers": callers}]} | self.more
        if self.service is None:
            process = self.instrument.process
            return _measured(self.instrument, spec, lambda: {self.name: process}, dict)
        service = self.service
        spec |= {"lane": self.lane, "port": service.port, "photo": str(photo), **service.lanes.get(self.lane, {})}
        with service.awake():
            return _measured(self.instrument, spec, service.roles, lambda: _stages(service))


def _measured(
    instrument: Instrument,
    spec: Record,
    roles: Callable[[], dict[str, psutil.Process]],
    stages: Callable[[], dict[str, tuple[float, float]]],
) -> Record:
    seen: list[tuple[usage.Snapshot, dict[str, tuple[float, float]]]] = []
    present: dict[str, psutil.Process] = {}
    memory: dict[str, usage.Memory] = {}

    def begin() -> None:
        present.update(roles())
        seen.append((usage.snapshot(present), stages()))

    def end() -> None:
        began = set(present.values())
        # A Cape session's processes begin with it, and one may have the role of an earlier one.
        present.update({f"{role}, later": each for role, each in roles().items() if each not in began})
        seen.append((usage.snapshot(present), stages()))
        memory.update(usage.memory(present))

    result = instrument.turn(spec, begin, end)
    (before, stages_before), (after, stages_after) = seen
    used = usage.between(before, after, result["seconds"])
    return record(result, used, _means(stages_before, stages_after)) | {"memory": memory}


def record(result: Record, used: usage.Usage, stages_ms: dict[str, float]) -> Record:
    """Combine the instrument's result with the kernel's counters into a turn's record."""
    crowds = result["crowds"]
    images = sum(crowd["images"] for crowd in crowds)
    generator = result["generator_cpu_seconds"]
    spent = dict(used["cpu_seconds"])
    by_kind: dict[str, float] = {}
    for role, seconds in spent.items():
        kind = processes.kind_of(role)
        by_kind[kind] = by_kind.get(kind, 0.0) + 1000 * seconds / images
    known = sum(spent.values()) + (generator or 0.0)
    total = used["machine_cpu_seconds"]
    return {
        "seconds": result["seconds"],
        "images": images,
        "answers": sum(crowd["answers"] for crowd in crowds),
        "refused": sum(crowd["refused"] for crowd in crowds),
        "other": sum(crowd["other"] for crowd in crowds),
        "latencies_ms": [value for crowd in crowds for value in crowd["latencies_ms"]],
        "cpu_ms": by_kind,
        "generator_cpu_ms": None if generator is None else 1000 * generator / images,
        "stages_ms": crowds[0]["stages_ms"] | stages_ms,
        "others_share": max(used["machine_share"] * (1 - known / total), 0.0) if total else 0.0,
        "predictions": next((crowd["predictions"] for crowd in crowds if crowd["predictions"]), []),
    } | ({"crowds": crowds} if len(crowds) > 1 else {})


def _stages(service: Service) -> dict[str, tuple[float, float]]:
    """Sum in seconds and count of each stage in the gateway's metrics; empty without a metrics port."""
    if service.metrics_port is None:
        return {}
    with processes.DIRECT.open(f"http://127.0.0.1:{service.metrics_port}/metrics") as response:
        samples = _STAGE_SAMPLE.findall(response.read().decode())
    found = {(stage, kind): float(value) for kind, stage, value in samples}
    return {stage: (found[stage, "sum"], found[stage, "count"]) for stage, _ in found}


def _means(before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]]) -> dict[str, float]:
    means: dict[str, float] = {}
    for stage in _GATEWAYS_STAGES:
        if stage in after:
            early = before.get(stage, (0.0, 0.0))
            total, count = after[stage][0] - early[0], after[stage][1] - early[1]
            if count:
                means[stage] = 1000 * total / count
    return means
