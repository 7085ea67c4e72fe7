"""Latency that sealing adds for a single caller, who uses each lane in turn, request by request.

A drift of the machine therefore affects all lanes alike. The figures of the sealed lanes include all steps of a client.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks import figures
from blindsight.sealing.kem import KEMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.plan import Plan
    from benchmarks.turn import Contender

_PLAIN = "plain"


def measure(plan: Plan, contenders: list[Contender], say: Callable[[str], None]) -> dict[str, Any]:
    """By lane: `p50_ms`, and `added_ms` relative to the neighbouring request of the plain lane. Raises `StackError`."""
    ours = next(each for each in contenders if each.kind == figures.OURS)
    service = ours.service
    assert service is not None
    common = {"port": service.port, "photo": str(plan.photo)}
    lanes = {_PLAIN: common | {"lane": "raw"}} | {
        kem.name: common | {"lane": "sealed", "kem": identifier, **service.lanes["sealed"]}
        for identifier, kem in KEMS.items()
    }
    found: dict[str, list[float]] = {name: [] for name in lanes}
    for number in range(plan.lengths.rounds):
        spec = {"alternate": lanes, "warm_up": plan.lengths.warm_up, "seconds": plan.lengths.sealing_seconds}
        with service.awake():
            latencies = ours.instrument.turn(spec, _nothing, _nothing)["latencies_ms"]
        for name, values in latencies.items():
            found[name] += values
        say(f"round {number + 1}/{plan.lengths.rounds}  sealing: {len(found[_PLAIN])} requests in each lane")
    return {"precision": ours.precision, "requests": len(found[_PLAIN]), "lanes": compared(found)}


def compared(latencies: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """Compare `latencies` in milliseconds by lane, the plain one first. Equal indexes are neighbours."""
    plain = next(iter(latencies.values()))
    return {
        name: {
            "p50_ms": median(values),
            "added_ms": figures.spread([one - other for one, other in zip(values, plain, strict=True)]),
        }
        for name, values in latencies.items()
    }


def _nothing() -> None:
    """Between the beginning and the end, only latencies count."""
