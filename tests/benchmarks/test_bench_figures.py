"""The harness's arithmetic: a wrong ratio would be believed."""

from __future__ import annotations

from statistics import median

import pytest

from benchmarks import docs, figures, processes, turn, usage
from benchmarks.figures import BARE, OURS, PEER
from tests.benchmarks.turns import turn as made


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.01, 1), (0.5, 5), (0.501, 6), (0.95, 10), (0.99, 10), (1.0, 10)]
)
def test_percentile_is_the_nearest_rank(share: float, expected: int) -> None:
    assert figures.percentile([3, 1, 2, 10, 9, 8, 7, 6, 5, 4], share) == expected


def test_figures_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        figures.percentile([], 0.5)
    with pytest.raises(ValueError, match="no values"):
        figures.spread([])


def test_an_interval_of_one_round_is_that_round() -> None:
    assert figures.spread([0.97]) == {"median": 0.97, "low": 0.97, "high": 0.97}


def test_an_interval_holds_the_median_within_the_values_and_is_always_the_same() -> None:
    values = [1.0, 1.1, 0.9, 1.3, 0.8]
    found = figures.spread(values)
    assert found["median"] == 1.0
    assert 0.8 <= found["low"] < 1.0 < found["high"] <= 1.3
    assert figures.spread(values) == found


def test_an_interval_keeps_what_it_promises() -> None:
    """Of two hundred samples of a known distribution, the median lies within its 95 % interval in about 190."""
    import numpy as np

    samples = np.random.default_rng(1).normal(1.0, 0.1, (200, 25))
    hits = sum(found["low"] <= 1.0 <= found["high"] for found in map(figures.spread, samples.tolist()))
    assert 180 <= hits <= 199


def test_more_rounds_make_an_interval_narrower() -> None:
    few = figures.spread([0.9, 1.0, 1.1])
    many = figures.spread([0.9, 1.0, 1.1] * 20)
    assert many["high"] - many["low"] < few["high"] - few["low"]


def test_throughput_counts_only_what_was_answered_in_the_counted_time() -> None:
    assert figures.throughput(made("LitServe", PEER, 0, 30, seconds=2.5)) == 12.0


def test_ratios_compare_neighbours_whatever_the_order_of_turns() -> None:
    ours = [made("ours", OURS, 0, 10), made("ours", OURS, 1, 40)]
    reference = [made("plain", PEER, 1, 20), made("plain", PEER, 0, 10)]
    assert figures.ratios(ours, reference) == [1.0, 2.0]


def test_the_median_ratio_is_not_the_ratio_of_medians() -> None:
    # The machine is half as fast in rounds 1 and 2, for all.
    turns = [
        each
        for number, speed in enumerate((4, 2, 2))
        for each in (
            made("loop", BARE, number, 10 * speed),
            made("plain", PEER, number, 8 * speed),
            made("ours", OURS, number, 9 * speed),
        )
    ]
    row = figures.rows(turns, plain="plain")[2]
    assert (row["contender"], row["callers"]) == ("ours", 1)
    assert row["of_bare"] == {"median": 0.9, "low": 0.9, "high": 0.9}
    assert row["of_plain"] == {"median": 1.125, "low": 1.125, "high": 1.125}
    assert row["images_per_second"]["median"] == 9.0


def test_rows_compare_with_the_turns_beside_them() -> None:
    turns = [
        made("loop", BARE, 0, 10),
        made("loop", BARE, 0, 5, beside=4),
        made("plain", PEER, 0, 8),
        made("plain", PEER, 0, 10, callers=4),
        made("ours", OURS, 0, 8),
        made("ours", OURS, 0, 20, callers=4),
    ]
    rows = {(row["contender"], row["callers"]): row for row in figures.rows(turns, plain="plain")}
    assert rows["ours", 4]["of_plain"]["median"] == 2.0
    assert rows["ours", 1]["of_plain"]["median"] == 1.0
    assert rows["ours", 4]["of_bare"]["median"] == 4.0
    assert rows["ours", 1]["of_bare"]["median"] == 0.8
    assert rows["loop", 1]["images_per_second"]["median"] == 3.75
    assert rows["loop", 1]["of_plain"] is None


def test_the_best_peer_is_the_fastest_at_that_many_callers_in_the_median() -> None:
    turns = [
        made(name, PEER, number, answers, callers=callers)
        for callers, rates in ((1, {"a": (10, 10, 10), "b": (9, 40, 9)}), (4, {"a": (10, 10, 10), "b": (20, 20, 1)}))
        for name, answered in rates.items()
        for number, answers in enumerate(answered)
    ]
    assert figures.best_peer(turns, "float", 1) == "a"
    assert figures.best_peer(turns, "float", 4) == "b"
    assert figures.best_peer(turns, "float", 16) is None
    assert figures.best_peer(turns, "int8", 1) is None


def test_other_precisions_compare_with_their_own_loop_and_with_the_best_peer_of_the_first() -> None:
    int8 = {"precision": "int8"}
    turns = [
        made("loop", BARE, 0, 10),
        made("ours", OURS, 0, 9),
        made("plain", PEER, 0, 8),
        made("LitServe", PEER, 0, 9),
        made("loop", BARE, 0, 40, **int8),
        made("ours", OURS, 0, 36, **int8),
        made("sealed", OURS, 0, 18, **int8),
        made("plain", PEER, 0, 24, **int8),
    ]
    rows = {(row["precision"], row["contender"]): row for row in figures.rows(turns, plain="plain")}
    row = rows["int8", "ours"]
    assert row["of_bare"]["median"] == 0.9
    assert row["of_plain"]["median"] == 1.5
    assert (row["best"], row["of_best"]["median"]) == ("LitServe", 4.0)
    assert row["of_best_own"]["median"] == 1.5
    assert rows["float", "ours"]["of_best_own"]["median"] == rows["float", "ours"]["of_best"]["median"] == 1.0
    assert rows["int8", "sealed"]["of_best_own"]["median"] == 0.75
    assert [row["precision"] for row in figures.rows(turns, plain="plain")] == ["float"] * 4 + ["int8"] * 4


def test_latencies_are_those_of_all_rounds_together() -> None:
    turns = [made("ours", OURS, number, 10, latencies_ms=[float(number)] * 10) for number in (1, 2, 3)]
    found = figures.timings(turns)
    assert (found["p50_ms"], found["p95_ms"], found["p99_ms"]) == (2.0, 3.0, 3.0)


def test_processor_time_is_per_answer_and_workers_count_together() -> None:
    crowd = {
        "answers": 49,
        "images": 50.0,
        "refused": 2,
        "other": 0,
        "latencies_ms": [1.0],
        "stages_ms": {"run": 3.0},
        "predictions": [],
    }
    used: usage.Usage = {
        "cpu_seconds": {"gateway": 0.1, "worker 1": 2.0, "worker 1, waiting 1": 0.0, "worker 2": 3.0},
        "machine_cpu_seconds": 8.0,
        "machine_share": 0.8,
    }
    found = turn.record({"crowds": [crowd], "seconds": 5.0, "generator_cpu_seconds": 0.9}, used, {"seal": 0.4})
    assert found["cpu_ms"] == pytest.approx({"gateway": 2.0, "workers": 100.0})
    assert found["generator_cpu_ms"] == pytest.approx(18.0)
    assert found["others_share"] == pytest.approx(0.2)
    assert found["stages_ms"] == {"run": 3.0, "seal": 0.4}
    assert (found["answers"], found["images"], found["refused"]) == (49, 50.0, 2)


def test_names_of_processes_become_kinds() -> None:
    names = [
        "gateway",
        "enclave runtime",
        "worker 1",
        "worker 12, waiting 3",
        "function 2",
        "function 1, waiting 1, later",
        "raylet 1",
    ]
    expected = ["gateway", "enclave runtime", "workers", "workers", "functions", "functions", "raylet"]
    assert [processes.kind_of(name) for name in names] == expected


def test_peak_memory_is_the_largest_of_all_turns() -> None:
    turns = [
        made("plain", PEER, number, 1, memory={"server": {"rss": 1, "rss_peak": peak, "pss": pss}})
        for number, (peak, pss) in enumerate([(30, None), (20, 9), (10, 8)])
    ]
    assert figures.peak_memory(turns) == {"server": {"rss_peak": 30, "pss": 9}}


def test_growth_is_told_from_a_peak_in_the_middle() -> None:
    flat = [(index, 100.0 + (50.0 if index == 5 else 0.0)) for index in range(12)]
    assert figures.growth(flat) == 0.0
    assert figures.growth([(index, 100.0 + index) for index in range(12)]) == 9.0
    assert figures.growth([(1, 5.0)]) == 0.0


def test_usage_between_two_snapshots_is_of_those_who_are_there_at_the_end() -> None:
    used = usage.between(
        usage.Snapshot({"a": 1.0, "gone": 3.0}, 10.0), usage.Snapshot({"a": 1.5, "new": 2.0}, 11.0), 2.0
    )
    assert used["cpu_seconds"] == {"a": 0.5, "new": 2.0}
    assert used["machine_cpu_seconds"] == 1.0
    assert 0 < used["machine_share"] <= 0.5


def test_medians_are_of_the_names_that_all_have() -> None:
    assert figures.medians([{"a": 1.0, "b": 5.0}, {"a": 3.0}, {"a": 2.0, "b": 1.0}]) == {"a": median([1.0, 3.0, 2.0])}


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("Traceback\nOSError: AF_UNIX path length cannot exceed 107 bytes: '/home/me/bench/ray/plasma_store'\n",
         "OSError: AF_UNIX path length cannot exceed 107 bytes: 'plasma_store'"),
        ("no /tmp/b-x1/y/ here", "no  here"),
        ("a/b of 1/2", "a/b of 1/2"),
        (" \n", "it does not say why"),
    ],
)  # fmt: skip
def test_the_reason_of_a_missing_peer_is_the_last_line_without_folders(output: str, reason: str) -> None:
    assert processes.last_line(output) == reason


@pytest.mark.parametrize(("disturbed", "busy"), [(0, False), (2, False), (3, True), (40, True)])
def test_a_run_is_unreliable_if_many_turns_were_disturbed(disturbed: int, busy: bool) -> None:
    """Medians of five rounds bear a disturbed turn each; more than one in twenty is said at every figure."""
    turns = [{"others_share": 0.3 if number < disturbed else 0.02} for number in range(40)]
    results = {"throughput": {"turns": turns}, "memory": {"others_share": 0.01}}
    assert docs._was_busy(results) is busy
