"""What the kernel says of each process of a stack, sampled at intervals."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping

KIB = 1024


@dataclass
class Series:
    """The samples of one process; all lists have one element for each time in `Samples.seconds` from `first` on."""

    pid: int
    first: int
    memory_kib: list[int] = field(default_factory=list)
    """Proportional set size, or resident set size if the kernel does not say that: see `measure`."""
    measure: str = "pss"
    descriptors: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)


@dataclass
class Samples:
    """Series by role; `seconds` since the start."""

    seconds: list[float] = field(default_factory=list)
    series: dict[str, Series] = field(default_factory=dict)

    def take(self, at: float, processes: Mapping[str, psutil.Process]) -> None:
        """Add a sample of each process. One that has taken another's role is a series of its own."""
        for role, process in processes.items():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                self._add(role, process)
        self.seconds.append(round(at, 1))

    def _add(self, role: str, process: psutil.Process) -> None:
        memory, measure = _memory(process)
        descriptors, threads = process.num_fds(), process.num_threads()
        known = self.series.get(role)
        if known is not None and known.pid != process.pid:
            role, known = f"{role} (process {process.pid})", None
            known = self.series.get(role)
        if known is None:
            known = self.series[role] = Series(process.pid, len(self.seconds), measure=measure)
        known.memory_kib.append(memory)
        known.descriptors.append(descriptors)
        known.threads.append(threads)

    def to_json(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "processes": {role: vars(each) for role, each in self.series.items()}}

    @classmethod
    def parse(cls, found: dict[str, Any]) -> Samples:
        return cls(found["seconds"], {role: Series(**each) for role, each in found["processes"].items()})


def _memory(process: psutil.Process) -> tuple[int, str]:
    """Memory in KiB, and what it is."""
    try:
        return int(process.memory_full_info().pss) // KIB, "pss"
    except psutil.AccessDenied:  # Only the superuser may inspect a worker.
        return int(process.memory_info().rss) // KIB, "rss"
