"""What the parts make of their turns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from benchmarks.figures import OURS, PEER
from benchmarks.inputs import SIZES, made_photo
from benchmarks.parts import memory, noop, sealing, storm, throughput
from benchmarks.plan import Lengths, Plan
from benchmarks.processes import StackError
from tests.benchmarks.turns import turn

if TYPE_CHECKING:
    from benchmarks.turn import Contender as Measured


def test_sealing_compares_neighbouring_requests() -> None:
    """The machine slows down tenfold in the middle; what sealing adds is one millisecond all the time."""
    plain = [10.0, 11.0, 10.0, 100.0, 101.0]
    found = sealing.compared({"plain": plain, "sealed": [value + 1.0 for value in plain]})
    assert found["sealed"]["added_ms"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    assert found["plain"]["added_ms"]["median"] == 0.0
    assert found["sealed"]["p50_ms"] == 12.0


def test_a_storm_is_compared_with_the_best_of_its_round() -> None:
    turns = [
        turn("ours", OURS, 0, 40, callers=4) | {"behaviour": "wait"},
        turn("ours", OURS, 0, 20, callers=256, refused=500, other=2) | {"behaviour": "wait"},
        turn("ours", OURS, 1, 10, callers=4) | {"behaviour": "wait"},
        turn("ours", OURS, 1, 20, callers=256) | {"behaviour": "wait"},
        turn("plain", PEER, 0, 80, callers=256) | {"behaviour": "wait"},
    ]
    few, many, plain = storm.rows(turns, "ours")
    assert (few["callers"], few["of_most"]["low"], few["of_most"]["high"]) == (4, 0.5, 1.0)
    assert many["of_most"]["median"] == 0.75
    assert many["refused_per_second"]["high"] == 250.0
    assert many["other_per_second"]["high"] == 1.0
    assert (plain["contender"], plain["of_most"]["median"]) == ("plain", 2.0)


def test_of_a_mixed_storm_the_answers_of_those_who_wait_are_told_apart() -> None:
    crowds = [{"images": 6}, {"images": 34}]
    (row,) = storm.rows([turn("ours", OURS, 0, 40, callers=260, crowds=crowds) | {"behaviour": "mixed"}], "ours")
    assert row["to_those_who_wait"]["median"] == 3.0


def test_a_storm_has_each_behaviour_with_the_greatest_crowd() -> None:
    kinds = storm.kinds((1, 4, 256))
    assert {behaviour for behaviour, callers, _ in kinds if callers >= 256} == {
        "wait", "ask again at once", "ask again at once, on a new connection", "4 wait, the others ask again at once",
    }  # fmt: skip
    assert all(callers == sum(crowd["callers"] for crowd in crowds) for _, callers, crowds in kinds)


def test_the_no_op_rate_of_a_core_is_of_gateway_and_runtime_together() -> None:
    spent = {"gateway": 0.75, "enclave runtime": 0.5, "workers": 9.0}
    row = noop.row("sealed", 80_000, [turn("ours", OURS, 0, 10, cpu_ms=spent)])
    assert row["per_core"]["median"] == pytest.approx(800.0)


def test_memory_is_of_the_gateway_and_of_all_of_the_enclave() -> None:
    def sample(gateway: int, worker: int) -> dict[str, Any]:
        return {
            "gateway": {"rss": 900 << 20, "rss_peak": 0, "pss": gateway << 20},
            "enclave runtime": {"rss": 0, "rss_peak": 0, "pss": 30 << 20},
            "worker 1": {"rss": 0, "rss_peak": 0, "pss": worker << 20},
            "worker 1, waiting 1": {"rss": 5 << 20, "rss_peak": 0, "pss": None},
            "function 1": {"rss": 0, "rss_peak": 0, "pss": 200 << 20},
            "function 1, waiting 1": {"rss": 0, "rss_peak": 0, "pss": 1 << 20},
        }

    found = memory.units([(100 * index, sample(80, 100 + index)) for index in range(8)])
    assert found["gateway"] == {"pss": 80.0, "growth": 0.0}
    assert found["enclave"] == {"pss": 142.0, "growth": 6.0}
    assert found["Cape functions"] == {"pss": 201.0, "growth": 0.0}, "as the part before has left it"


def test_contenders_that_answer_differently_are_found() -> None:
    def answers(label: str, score: float, precision: str = "float") -> dict[str, Any]:
        made = turn("one", PEER, 0, 1, precision=precision)
        return made | {"predictions": [{"label": label, "score": score}]}

    throughput.check_agreement([answers("dog", 0.9), answers("dog", 0.90001), answers("cat", 0.5, "int8")])
    with pytest.raises(StackError, match="differently"):
        throughput.check_agreement([answers("dog", 0.9), answers("dog", 0.91)])
    with pytest.raises(StackError, match="differently"):
        throughput.check_agreement([answers("dog", 0.9), answers("cat", 0.9)])


def test_the_made_photos_are_always_the_same() -> None:
    assert made_photo().size == (1200, 602)
    assert made_photo(60, 30).tobytes() == made_photo(60, 30).tobytes()
    assert [width * height // 10**6 for _, width, height, _ in SIZES] == [0, 0, 3, 7, 12]


@dataclass
class Contender:
    """One whose turns fail from the second on, if it `fails`, to the one `until`."""

    name: str
    kind: str
    fails: bool = False
    until: int = 99
    precision: str = "float"
    callers: tuple[int, int] = (1, 99)
    turns: int = 0

    def turn(self, *_: Any, callers: int, **__: Any) -> dict[str, Any]:
        self.turns += 1
        if self.fails and 1 < self.turns <= self.until:
            raise StackError("status 500")
        return turn(self.name, self.kind, 0, 8) | {"predictions": [{"label": "dog", "score": 1.0}]}


def run(*contenders: Contender) -> tuple[list[dict[str, Any]], dict[str, str]]:
    missing: dict[str, str] = {}
    plan = Plan({"float": Path()}, Path(), (), tuned=False, lengths=Lengths(rounds=3, callers=(1,)))
    entrants = cast("list[Measured]", list(contenders))
    return throughput.measure(plan, entrants, missing, lambda _: None), missing


def test_a_peer_that_fails_in_the_middle_is_told_as_missing_and_does_not_count() -> None:
    failing = Contender("LitServe", PEER, fails=True)
    turns, missing = run(Contender("ours", OURS), failing, Contender("BentoML", PEER))
    assert [made["contender"] for made in turns].count("BentoML") == 3
    assert "LitServe" not in {made["contender"] for made in turns}
    assert missing == {"LitServe": "failed: status 500"}
    assert failing.turns == 3, "it has a second try, and is not asked again"


def test_a_turn_that_fails_once_is_taken_again_and_marked() -> None:
    turns, missing = run(Contender("ours", OURS), Contender("LitServe", PEER, fails=True, until=2))
    assert missing == {}
    assert [made.get("retried", False) for made in turns if made["contender"] == "LitServe"] == [False, True, False]


def test_ours_that_fails_ends_the_run() -> None:
    with pytest.raises(StackError, match="500"):
        run(Contender("ours", OURS, fails=True), Contender("BentoML", PEER))
