"""The harness's arithmetic: a wrong ratio would be believed."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import figures, usage


def turn(
    contender: str, number: int, answers: int, *, callers: int = 1, seconds: float = 2.0, **changes: Any
) -> figures.Turn:
    return {
        "round": number,
        "beside": callers,
        "contender": contender,
        "callers": callers,
        "seconds": seconds,
        "latencies": [0.1] * answers,
        "stages": {},
        "usage": {"cpu_seconds": {contender: 1.0}, "machine_cpu_seconds": 2.0, "machine_share": 0.5},
        "memory": {contender: {"rss": 10, "rss_peak": 20, "pss": 5}},
    } | changes


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.01, 1), (0.5, 5), (0.501, 6), (0.95, 10), (0.99, 10), (1.0, 10)]
)
def test_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    assert figures.percentile([3, 1, 2, 10, 9, 8, 7, 6, 5, 4], share) == expected


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        figures.percentile([], 0.5)


def test_throughput_counts_only_what_was_answered_in_the_counted_time() -> None:
    assert figures.throughput(turn("plain service", 0, 30, seconds=2.5)) == 12.0


def test_ratios_compare_neighbours_whatever_the_order_of_turns() -> None:
    ours = [turn("blindsight", 0, 10), turn("blindsight", 1, 40)]
    reference = [turn("plain service", 1, 20), turn("plain service", 0, 10)]
    assert figures.ratios(ours, reference) == [1.0, 2.0]


def test_the_median_ratio_is_not_the_ratio_of_medians() -> None:
    # The machine is half as fast in rounds 1 and 2, for both.
    turns = [
        made
        for number, speed in enumerate((4, 2, 2))
        for made in (
            turn("bare loop", number, 10 * speed),
            turn("plain service", number, 8 * speed),
            turn("blindsight", number, 9 * speed),
        )
    ]
    row = figures.summarise(turns)[2]
    assert (row["contender"], row["callers"]) == ("blindsight", 1)
    assert row["to_bare"] == {"median": 0.9, "least": 0.9, "greatest": 0.9}
    assert row["to_plain"] == {"median": 1.125, "least": 1.125, "greatest": 1.125}
    assert row["images_per_second"] == {"median": 9.0, "least": 9.0, "greatest": 18.0}


def test_rows_compare_with_the_turns_beside_them() -> None:
    turns = [
        turn("bare loop", 0, 10),
        turn("bare loop", 0, 5, beside=4),
        turn("plain service", 0, 8),
        turn("plain service", 0, 10, callers=4),
        turn("blindsight", 0, 8),
        turn("blindsight", 0, 20, callers=4),
    ]
    rows = {(row["contender"], row["callers"]): row for row in figures.summarise(turns)}
    assert rows["blindsight", 4]["to_plain"]["median"] == 2.0
    assert rows["blindsight", 1]["to_plain"]["median"] == 1.0
    assert rows["blindsight", 4]["to_bare"]["median"] == 4.0
    assert rows["blindsight", 1]["to_bare"]["median"] == 0.8
    assert rows["bare loop", 1]["images_per_second"] == {"median": 3.75, "least": 2.5, "greatest": 5.0}
    assert rows["bare loop", 1]["to_plain"] is None


def test_processor_time_is_per_image_and_workers_count_together() -> None:
    spent = {"gateway": 0.1, "worker 1": 2.0, "worker 2": 3.0}
    measured = turn("blindsight", 0, 50, usage={"cpu_seconds": spent})
    assert figures.cpu_ms_per_image(measured) == pytest.approx({"gateway": 2.0, "workers": 100.0})


def test_others_share_is_what_the_turn_did_not_use() -> None:
    used = {"cpu_seconds": {"gateway": 1.0, "generator": 2.0}, "machine_cpu_seconds": 4.0, "machine_share": 0.8}
    assert figures.others_share(turn("blindsight", 0, 1, usage=used)) == pytest.approx(0.2)


def test_peak_memory_is_the_largest_of_all_turns() -> None:
    turns = [
        turn("plain service", 0, 1, memory={"plain service": {"rss": 1, "rss_peak": 30, "pss": None}}),
        turn("plain service", 1, 1, memory={"plain service": {"rss": 1, "rss_peak": 20, "pss": 9}}),
        turn("plain service", 2, 1, memory={"plain service": {"rss": 1, "rss_peak": 10, "pss": 8}}),
    ]
    assert figures.peak_memory(turns) == {"plain service": {"rss_peak": 30, "pss": 9}}


def test_usage_between_two_snapshots() -> None:
    used = usage.between(usage.Snapshot({"a": 1.0}, 10.0), usage.Snapshot({"a": 1.5}, 11.0), 2.0)
    assert used["cpu_seconds"] == {"a": 0.5}
    assert used["machine_cpu_seconds"] == 1.0
    assert 0 < used["machine_share"] <= 0.5
