"""Turns as `benchmarks.turn` records them, for tests of what is made of them."""

from __future__ import annotations

from typing import Any


def turn(
    contender: str, kind: str, number: int, answers: int, *, callers: int = 1, seconds: float = 2.0, **changes: Any
) -> dict[str, Any]:
    return {
        "round": number,
        "beside": callers,
        "contender": contender,
        "kind": kind,
        "precision": "float",
        "callers": callers,
        "seconds": seconds,
        "images": answers,
        "answers": answers,
        "refused": 0,
        "other": 0,
        "latencies_ms": [100.0] * answers,
        "cpu_ms": {contender: 50.0},
        "generator_cpu_ms": None if kind == "bare" else 0.5,
        "stages_ms": {},
        "others_share": 0.01,
        "memory": {contender: {"rss": 10, "rss_peak": 20, "pss": 5}},
    } | changes
