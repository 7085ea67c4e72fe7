"""Statistics of turns: percentiles, ratios of neighbouring turns and their confidence intervals. No I/O."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BARE, OURS, PEER = "bare", "ours", "peer"
"""Kinds of contenders."""

Turn = dict[str, Any]
"""A turn's record (`turn.Record`) with `contender`, its `kind` and `precision`, `callers`, `round`, and `beside`: the
number of callers of the neighbouring turns, with which it is compared."""

Spread = dict[str, float]
"""`median`, and `low` and `high`, the limits of its 95 % confidence interval."""

_RESAMPLES = 4000
_INTERVAL = (2.5, 97.5)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` (0..1) of them do not exceed: the nearest rank.

    Raises `ValueError` for no values.
    """
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


def spread(values: Sequence[float]) -> Spread:
    """The median of `values` and its 95 % interval, by the percentile bootstrap with 4000 resamples.

    Efron, B.: Bootstrap methods: another look at the jackknife. Annals of Statistics 7 (1979). The result is
    deterministic. For a single value the interval is that value. Raises `ValueError` for no values.
    """
    if not values:
        raise ValueError("no values")
    found = np.asarray(values, dtype=np.float64)
    drawn = np.random.default_rng(0).integers(0, len(found), (_RESAMPLES, len(found)))
    low, high = np.percentile(np.median(found[drawn], axis=1), _INTERVAL)
    return {"median": float(np.median(found)), "low": float(low), "high": float(high)}


def throughput(turn: Turn) -> float:
    """Answered images per second of one turn."""
    return float(turn["images"]) / float(turn["seconds"])


def ratios(turns: Iterable[Turn], reference: Iterable[Turn]) -> list[float]:
    """Throughput of each of `turns`, divided by that of the neighbouring turn of `reference`."""
    rates = {(turn["round"], turn["beside"]): throughput(turn) for turn in reference}
    return [throughput(turn) / rates[turn["round"], turn["beside"]] for turn in turns]


def best_peer(turns: Iterable[Turn], precision: str, callers: int) -> str | None:
    """The peer with the greatest median throughput at `callers` callers; None without peers."""
    rates: dict[str, list[float]] = defaultdict(list)
    for turn in turns:
        if (turn["kind"], turn["precision"], turn["callers"]) == (PEER, precision, callers):
            rates[turn["contender"]].append(throughput(turn))
    return max(rates, key=lambda name: median(rates[name]), default=None)


def rows(turns: list[Turn], *, plain: str) -> list[dict[str, Any]]:
    """One row for each precision, contender and number of callers, in the order of their first turns.

    Latencies are in milliseconds, over all rounds. Ratios are of throughput, each to the neighbouring turn of the same
    round: `of_bare` to the bare loop of the same precision, which has one caller; `of_plain` to the contender `plain`
    of the same precision; `of_best_own` to the best peer of the same precision; `of_best` to the best peer at the
    precision of the first turn, whose name is `best`.
    """
    groups: dict[tuple[str, str, int], list[Turn]] = defaultdict(list)
    for turn in turns:
        groups[turn["precision"], turn["contender"], turn["callers"]].append(turn)
    first = turns[0]["precision"]
    found = []
    for (precision, contender, callers), group in sorted(groups.items(), key=lambda item: _place(turns, item[0])):
        kind = group[0]["kind"]
        bare = [turn for turn in turns if (turn["kind"], turn["precision"]) == (BARE, precision)]
        best, own = (best_peer(turns, each, callers) if kind != BARE else None for each in (first, precision))
        row = {"precision": precision, "contender": contender, "kind": kind, "callers": callers, "best": best}
        row |= timings(group)
        row["of_bare"] = spread(ratios(group, bare)) if bare and kind != BARE else None
        for name, reference in (
            ("of_plain", groups.get((precision, plain, callers))),
            ("of_best", groups.get((first, best, callers)) if best else None),
            ("of_best_own", groups.get((precision, own, callers)) if own else None),
        ):
            row[name] = spread(ratios(group, reference)) if reference and kind != BARE else None
        found.append(row)
    return found


def timings(group: list[Turn]) -> dict[str, Any]:
    """Figures of one contender's turns that need no comparison.

    `images_per_second` (`Spread`), `p50_ms`, `p95_ms`, `p99_ms`, medians of `cpu_ms` by process and of
    `generator_cpu_ms`, `stages_ms`, `others_share` (0..1) and `memory` (bytes).
    """
    latencies = [value for turn in group for value in turn["latencies_ms"]]
    generators = [turn["generator_cpu_ms"] for turn in group if turn["generator_cpu_ms"] is not None]
    return {
        "images_per_second": spread([throughput(turn) for turn in group]),
        **{f"p{share}_ms": percentile(latencies, share / 100) for share in (50, 95, 99)},
        "cpu_ms": medians([turn["cpu_ms"] for turn in group]),
        "generator_cpu_ms": median(generators) if generators else None,
        "stages_ms": medians([turn["stages_ms"] for turn in group]),
        "others_share": max(turn["others_share"] for turn in group),
        "memory": peak_memory(group),
    }


def medians(records: list[dict[str, float]]) -> dict[str, float]:
    """The median of each name that all `records` contain."""
    return {name: median(record[name] for record in records) for name in records[0]
            if all(name in record for record in records)}  # fmt: skip


def peak_memory(turns: list[Turn]) -> dict[str, dict[str, int | None]]:
    """For each process the largest resident set, and the largest proportional set at the end of a turn, in bytes."""
    peaks: dict[str, dict[str, int | None]] = {}
    for turn in turns:
        for role, memory in turn["memory"].items():
            peak = peaks.setdefault(role, {"rss_peak": 0, "pss": None})
            peak["rss_peak"] = max(peak["rss_peak"] or 0, memory["rss_peak"])
            if memory["pss"] is not None:
                peak["pss"] = max(peak["pss"] or 0, memory["pss"])
    return peaks


def growth(samples: list[tuple[int, float]]) -> float:
    """Median of the last quarter of `samples` (requests so far, value) minus that of the first quarter."""
    quarter = max(len(samples) // 4, 1)
    ordered = [value for _, value in sorted(samples)]
    return median(ordered[-quarter:]) - median(ordered[:quarter])


def _place(turns: list[Turn], key: tuple[str, str, int]) -> tuple[int, int]:
    names = [(turn["precision"], turn["contender"]) for turn in turns if turn["round"] == 0]
    return names.index(key[:2]), key[2]
