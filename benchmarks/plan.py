"""The plan of a run: parts, rounds and durations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

PARTS: Final = ("throughput", "sealing", "sizes", "memory", "storm", "noop", "start")
"""In the order in which they run. Parts that share services come first, and memory before the storm that increases it.
"""


@dataclass(frozen=True)
class Lengths:
    """Rounds, and seconds of each part's turns. A warm-up, which is not counted, precedes each turn."""

    rounds: int = 5
    seconds: float = 2.0
    warm_up: float = 0.6
    callers: tuple[int, ...] = (1, 4, 16)
    sealing_seconds: float = 6.0
    """Seconds of a round in which one caller uses each lane in turn."""
    size_rounds: int = 2
    size_seconds: float = 1.5
    storm_rounds: int = 5
    storm_seconds: float = 3.0
    storm_warm_up: float = 2.0
    """Seconds until crowds are in a steady state; callers that wait do so for whole seconds."""
    storm_callers: tuple[int, ...] = (1, 4, 64, 256)
    memory_requests: int = 5000
    memory_seconds: float = 8.0
    """Seconds between two samples of memory."""
    noop_rounds: int = 5
    noop_seconds: float = 1.5
    starts: int = 5
    peer_starts: int = 5


FULL: Final = Lengths()
QUICK: Final = Lengths(
    rounds=2,
    seconds=1.5,
    warm_up=0.5,
    callers=(1, 4),
    sealing_seconds=4.0,
    size_rounds=1,
    size_seconds=0.7,
    storm_rounds=1,
    storm_seconds=2.0,
    storm_warm_up=1.5,
    storm_callers=(4, 256),
    memory_requests=100,
    memory_seconds=2.0,
    noop_rounds=1,
    noop_seconds=1.0,
    starts=1,
    peer_starts=1,
)


@dataclass(frozen=True)
class Plan:
    """A run. `models`: model directories by precision. All peers serve the first one; FastAPI serves each."""

    models: dict[str, Path]
    photo: Path
    peers: tuple[str, ...]
    tuned: bool
    """Whether each peer takes additional turns with one worker for each processor and one thread in each worker."""
    parts: tuple[str, ...] = PARTS
    lengths: Lengths = field(default_factory=Lengths)

    @property
    def baseline(self) -> str:
        """The precision of the first model, with which all peers run."""
        return next(iter(self.models))
