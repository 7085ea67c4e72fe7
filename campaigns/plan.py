"""The parameters of a campaign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

FAULTS_A_MINUTE: Final = 12.5
"""At least 100 in ten minutes, with those left out whose part is not whole yet."""


@dataclass(frozen=True)
class Plan:
    """What runs, for how long, and what is promised. All times are in seconds."""

    model: Path
    """Model directory."""
    photos: tuple[Path, ...]
    seconds: float = 600.0
    seed: int = 0
    callers: int = 16
    enclaves: int = 3
    gateways: int = 2
    workers: int = 1
    """Of each enclave."""
    cape: bool = False
    """Whether the gateways are Cape hosts, with PostgreSQL."""
    redis: bool = False
    pause: float = 2.5
    """Mean time between an answer and its caller's next request."""
    faults_a_minute: float = FAULTS_A_MINUTE
    kinds: tuple[str, ...] = ()
    """Only these kinds of faults; all if empty."""
    deadline: float = 10.0
    """`BLINDSIGHT_DEADLINE`."""
    call_seconds: float = 5.0
    """`--call-seconds` of the enclaves."""
    margin: float = 5.0
    """What a caller may wait beyond the deadline: a gateway that stands still for three seconds, and the network."""
    worker_seconds: float = 3.0
    """An enclave is whole within this time after the kill of a worker."""
    whole_seconds: float = 15.0
    """Every part is whole within this time after any other fault."""
    crowding: float = 1.0
    """Factor of both, on a machine with other work."""
    settle: float = 20.0
    """For which the service is left alone before leaks are counted."""
    warm_up: float = 10.0
    """Load before the first fault; what is open and used after it is the baseline."""
