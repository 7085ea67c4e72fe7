"""The schedule of faults: reproducible, dense enough, and never two at once at one part."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from campaigns.plan import Plan
from campaigns.schedule import KINDS, limit, planned

PLAN = Plan(Path("model"), ())


def test_a_seed_gives_one_schedule_and_another_seed_another() -> None:
    assert planned(PLAN) == planned(PLAN)
    assert planned(PLAN) == planned(dataclasses.replace(PLAN, crowding=5))
    assert planned(PLAN) != planned(dataclasses.replace(PLAN, seed=1))


@pytest.mark.parametrize("seed", range(20))
def test_ten_minutes_have_a_hundred_faults_of_every_kind(seed: int) -> None:
    faults = planned(dataclasses.replace(PLAN, seed=seed, cape=True, redis=True))
    assert len(faults) >= 100
    assert Counter(fault.kind for fault in faults).keys() == KINDS.keys()
    assert len(planned(dataclasses.replace(PLAN, seed=seed))) >= 100


def test_a_part_is_struck_again_only_when_it_has_to_be_whole() -> None:
    free: dict[str, float] = {}
    for fault in planned(PLAN):
        assert fault.at >= free.get(fault.part, 0)
        free[fault.part] = fault.at + fault.hold + limit(PLAN, fault.kind)


def test_parts_that_are_not_there_are_not_struck() -> None:
    kinds = {fault.kind for fault in planned(PLAN)}
    assert not any("database" in kind or "redis" in kind for kind in kinds)


def test_a_gateway_stands_still_for_no_longer_than_the_margin_of_its_callers() -> None:
    assert KINDS["gateway stopped"].most < PLAN.margin
