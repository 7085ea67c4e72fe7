"""From turns to figures: percentiles, medians of rounds, and ratios of neighbouring turns. Pure arithmetic."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BARE, PLAIN, OURS = "bare loop", "plain service", "blindsight"

Turn = dict[str, Any]
"""One contender's turn, as `measure` records it. `round` and `beside` say which turns it is compared with."""


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of `values` that at least `share` (0..1) of them do not exceed (nearest rank)."""
    if not values:
        raise ValueError("no values")
    return sorted(values)[max(math.ceil(share * len(values)), 1) - 1]


def throughput(turn: Turn) -> float:
    """Images answered a second."""
    return len(turn["latencies"]) / float(turn["seconds"])


def ratios(turns: Iterable[Turn], reference: Iterable[Turn]) -> list[float]:
    """Throughput of `turns` by that of the `reference` beside each."""
    rates = {(turn["round"], turn["beside"]): throughput(turn) for turn in reference}
    return [throughput(turn) / rates[turn["round"], turn["beside"]] for turn in turns]


def cpu_ms_per_image(turn: Turn) -> dict[str, float]:
    """Processor milliseconds that each process spent for one answer; `worker 1`, `worker 2` and so on as `workers`."""
    spent: dict[str, float] = defaultdict(float)
    for role, seconds in turn["usage"]["cpu_seconds"].items():
        spent[kind_of(role)] += 1000 * seconds / len(turn["latencies"])
    return dict(spent)


def kind_of(role: str) -> str:
    return "workers" if role.startswith("worker ") else role


def others_share(turn: Turn) -> float:
    """Share of the machine, 0..1, that was busy with something that is not the turn's: the smaller, the quieter."""
    used = turn["usage"]
    share = float(used["machine_share"])
    total = float(used["machine_cpu_seconds"])
    return max(share * (1 - sum(used["cpu_seconds"].values()) / total), 0.0) if total else 0.0


def summarise(turns: list[Turn]) -> list[dict[str, Any]]:
    """One row for each contender and number of callers: medians over the rounds.

    Latencies in milliseconds. `to_plain` compares with the plain service at as many callers, `to_bare` with the bare
    loop's one caller, each beside it in the same round; the median, the least and the greatest.
    """
    groups: dict[tuple[str, int], list[Turn]] = defaultdict(list)
    for turn in turns:
        groups[turn["contender"], turn["callers"]].append(turn)
    rows = []
    for (contender, callers), group in sorted(groups.items(), key=lambda item: (_ORDER[item[0][0]], item[0][1])):
        row: dict[str, Any] = {"contender": contender, "callers": callers}
        row["images_per_second"] = _spread([throughput(turn) for turn in group])
        for share in (50, 95, 99):
            row[f"p{share}_ms"] = median(1000 * percentile(turn["latencies"], share / 100) for turn in group)
        row["to_bare"] = _spread(ratios(group, groups[BARE, 1]))
        row["to_plain"] = None if contender == BARE else _spread(ratios(group, groups[PLAIN, callers]))
        row["cpu_ms"] = _medians([cpu_ms_per_image(turn) for turn in group])
        row["stages_ms"] = {
            stage: 1000 * value for stage, value in _medians([turn["stages"] for turn in group]).items()
        }
        row["others_share"] = _spread([others_share(turn) for turn in group])
        rows.append(row)
    return rows


def peak_memory(turns: list[Turn]) -> dict[str, dict[str, int | None]]:
    """Of each process the largest resident set, and the largest proportional set that was seen at a turn's end."""
    peaks: dict[str, dict[str, int | None]] = {}
    for turn in turns:
        for role, memory in turn["memory"].items():
            peak = peaks.setdefault(role, {"rss_peak": 0, "pss": None})
            peak["rss_peak"] = max(peak["rss_peak"] or 0, memory["rss_peak"])
            if memory["pss"] is not None:
                peak["pss"] = max(peak["pss"] or 0, memory["pss"])
    return peaks


_ORDER = {BARE: 0, PLAIN: 1, OURS: 2}


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": median(values), "least": min(values), "greatest": max(values)}


def _medians(records: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(record[name] for record in records) for name in records[0]}
