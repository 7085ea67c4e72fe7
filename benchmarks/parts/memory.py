"""Memory of our processes, sampled while thousands of requests are answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks import figures
from benchmarks.parts import attempt

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.plan import Plan
    from benchmarks.turn import Contender

_CALLERS = 4
_MIB = 2**20


def measure(plan: Plan, contenders: list[Contender], say: Callable[[str], None]) -> dict[str, Any]:
    """`requests`, `others_share` (0..1), and `units`: memory of gateway and enclave in MiB. Raises `StackError`."""
    ours = next(each for each in contenders if each.kind == figures.OURS)
    samples: list[tuple[int, dict[str, Any]]] = []
    done, others = 0, 0.0
    while done < plan.lengths.memory_requests:
        record = attempt.take(
            ours, {}, say, plan.photo, warm_up=0.0, seconds=plan.lengths.memory_seconds, callers=_CALLERS
        )
        assert record is not None
        done += record["answers"]
        others = max(others, record["others_share"])
        samples.append((done, record["memory"]))
        say(f"memory: {done} of {plan.lengths.memory_requests} requests")
    facts = {"precision": ours.precision, "requests": done, "callers": _CALLERS, "others_share": others}
    return facts | {"units": units(samples)}


def units(samples: list[tuple[int, dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """Memory of the gateway, and of all the enclave's processes for `/classify` together: peak `pss` and its `growth`,
    in MiB.

    `Cape functions` are what an earlier part of the run has called: the enclave keeps such a process for the next
    caller.

    `figures.growth` defines growth. If the kernel does not report a proportional set, as for processes of another user,
    the resident set is used, which is larger.
    """
    result = {}
    for unit in dict.fromkeys(_unit(role) for _, found in samples for role in found):
        values = [
            (requests, sum(_bytes(each) for role, each in found.items() if _unit(role) == unit) / _MIB)
            for requests, found in samples
            if unit in map(_unit, found)
        ]
        result[unit] = {"pss": max(value for _, value in values), "growth": figures.growth(values)}
    return result


def _unit(role: str) -> str:
    if role == "gateway":
        return role
    return "Cape functions" if role.startswith("function") else "enclave"


def _bytes(memory: dict[str, Any]) -> int:
    return int(memory["rss"] if memory["pss"] is None else memory["pss"])
