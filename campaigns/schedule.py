"""Which fault happens when, to which part, and for how long: a function of the plan and its seed alone."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from campaigns.plan import Plan

ENCLAVE, GATEWAY, POSTGRES, REDIS = "enclave", "gateway", "postgres", "redis"


@dataclass(frozen=True)
class Kind:
    """A kind of fault: the part that it strikes, how many of it are in the deck, and how long it is held, in
    seconds.
    """

    part: str
    weight: int
    least: float = 0.0
    most: float = 0.0
    needs: str = ""
    """The switch of the plan without which there is no such part."""


KINDS: Final[dict[str, Kind]] = {
    "worker killed": Kind(ENCLAVE, 4),
    # Longer than `--call-seconds`: then the runtime replaces it.
    "worker stopped": Kind(ENCLAVE, 2, 1.0, 8.0),
    "runtime killed": Kind(ENCLAVE, 2),
    "runtime stopped": Kind(ENCLAVE, 2, 1.0, 6.0),
    "gateway killed": Kind(GATEWAY, 2),
    # Not longer than the margin of the callers' deadline.
    "gateway stopped": Kind(GATEWAY, 2, 0.5, 3.0),
    "link cut": Kind(ENCLAVE, 1, 1.0, 6.0),
    "link stalled": Kind(ENCLAVE, 1, 1.0, 6.0),
    "link reset in a frame": Kind(ENCLAVE, 2, 1.0, 6.0),
    "enclave's disk full": Kind(ENCLAVE, 1, 2.0, 6.0),
    "gateway's disk full": Kind(GATEWAY, 1, 2.0, 6.0),
    "gateway's clock ahead": Kind(GATEWAY, 1, 4.0, 8.0),
    "gateway's clock behind": Kind(GATEWAY, 1, 4.0, 8.0),
    "database locked": Kind(POSTGRES, 2, 1.0, 5.0, needs="cape"),
    "database restarted": Kind(POSTGRES, 1, needs="cape"),
    "redis gone": Kind(REDIS, 2, 1.0, 6.0, needs="redis"),
}

_SETTLED: Final = 3.0
"""Seconds that a part is left alone after it must be whole again."""


@dataclass(frozen=True)
class Fault:
    """One fault. `at` is in seconds from the first possible one; `dice` is 0..1, for choices of the injection."""

    number: int
    at: float
    kind: str
    part: str
    """The part and its number, such as `enclave 2`."""
    hold: float
    dice: float

    @property
    def index(self) -> int:
        return int(self.part.rpartition(" ")[2]) - 1


def planned(plan: Plan) -> list[Fault]:
    """All faults in the order of their times. No part is struck again before it has to be whole.

    The times do not depend on `crowding`; a part that is not whole yet on a crowded machine is left out.
    """
    dice = random.Random(plan.seed)
    kinds = {
        name: kind
        for name, kind in KINDS.items()
        if (not plan.kinds or name in plan.kinds) and (not kind.needs or getattr(plan, kind.needs))
    }
    counts = {ENCLAVE: plan.enclaves, GATEWAY: plan.gateways, POSTGRES: 1, REDIS: 1}
    free: dict[str, float] = {}
    faults: list[Fault] = []
    gap = 60.0 / plan.faults_a_minute
    deck: list[str] = []
    at = 0.0
    while at < plan.seconds:
        if len(deck) < len(kinds):
            more = [name for name, kind in kinds.items() for _ in range(kind.weight)]
            dice.shuffle(more)
            deck += more
        there = {
            part: [name for number in range(1, count + 1) if free.get(name := f"{part} {number}", 0.0) <= at]
            for part, count in counts.items()
        }
        drawn = next((name for name in deck if there[kinds[name].part]), None)
        if drawn is not None:
            deck.remove(drawn)
            kind = kinds[drawn]
            part = dice.choice(there[kind.part])
            hold = round(dice.uniform(kind.least, kind.most), 2)
            faults.append(Fault(len(faults) + 1, round(at, 2), drawn, part, hold, round(dice.random(), 4)))
            free[part] = at + hold + promised(plan, drawn) + _SETTLED
        at += dice.uniform(0.5, 1.5) * gap
    return faults


def promised(plan: Plan, kind: str) -> float:
    """Seconds after its end within which the part is whole again, on a machine without other work."""
    return plan.worker_seconds if kind == "worker killed" else plan.whole_seconds


def limit(plan: Plan, kind: str) -> float:
    """The same on the plan's machine."""
    return plan.crowding * promised(plan, kind)
