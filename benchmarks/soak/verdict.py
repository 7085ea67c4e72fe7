"""The bounds of a soak, and whether its samples keep them."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.soak.samples import Samples, Series

MEMORY_SHARE = 0.05
"""By which a process's memory at the end may exceed that after the warm-up."""
MORE_DESCRIPTORS, MORE_THREADS = 2, 0
"""By which their median at the end may exceed that after the warm-up. Each connection has one, and their number at one
moment is chance.
"""


@dataclass(frozen=True)
class Row:
    """One process: the figures of the first window after the warm-up and of the last window."""

    role: str
    measure: str
    memory_mib: tuple[float, float]
    descriptors: tuple[float, float]
    threads: tuple[float, float]

    @property
    def growth(self) -> float:
        """Of the memory, as a share of its first value."""
        return self.memory_mib[1] / self.memory_mib[0] - 1

    def breaches(self, share: float = MEMORY_SHARE) -> list[str]:
        found = []
        if self.growth > share:
            first, last = self.memory_mib
            found.append(f"{self.role}: memory grew from {first:.1f} to {last:.1f} MiB, by {self.growth:.1%}")
        for name, (first, last), more in (
            ("descriptors", self.descriptors, MORE_DESCRIPTORS),
            ("threads", self.threads, MORE_THREADS),
        ):
            if last > first + more:
                found.append(f"{self.role}: {name} grew from {first:g} to {last:g}")
        return found


@dataclass(frozen=True)
class Verdict:
    """The rows of all processes, and each bound that was broken, in words."""

    rows: list[Row]
    breaches: list[str]


def floor(values: Iterable[float]) -> float:
    """The tenth percentile. The memory of a process whose inputs differ in size by orders is mostly that of its current
    input; what it keeps shows between two of them.
    """
    ordered = sorted(values)
    return ordered[len(ordered) // 10]


def judge(
    samples: Samples,
    *,
    warm_up: float,
    window: float,
    level: Callable[[Iterable[float]], float] = median,
    share: float = MEMORY_SHARE,
) -> Verdict:
    """Compare the first `window` seconds after `warm_up` seconds with the last `window` seconds.

    `level` is the figure of a window's samples of memory; that of descriptors and threads is the median.
    Memory may grow by `share`.

    A process that is not there in both windows is a breach: it ended, or was replaced. Raises `ValueError` if the
    samples are too short for two windows.
    """
    seconds = samples.seconds
    if not seconds or seconds[-1] < warm_up + 2 * window:
        raise ValueError("the samples are too short for two windows after the warm-up")
    end = seconds[-1]
    windows = (warm_up, warm_up + window), (end - window, end)
    rows, breaches = [], []
    for role, series in samples.series.items():
        if len(series.memory_kib) != len(seconds) - series.first or series.first > _index(seconds, warm_up):
            breaches.append(f"{role}: the process was not there all the time")
            continue
        row = Row(
            role,
            series.measure,
            _levels(series, seconds, windows, [each / 1024 for each in series.memory_kib], level),
            _levels(series, seconds, windows, series.descriptors),
            _levels(series, seconds, windows, series.threads),
        )
        rows.append(row)
        breaches += row.breaches(share)
    return Verdict(rows, breaches)


def _index(seconds: list[float], at: float) -> int:
    return next(index for index, each in enumerate(seconds) if each >= at)


def _levels(
    series: Series,
    seconds: list[float],
    windows: tuple[tuple[float, float], ...],
    values: Sequence[float],
    level: Callable[[Iterable[float]], float] = median,
) -> tuple[float, float]:
    first, last = (
        level([value for at, value in zip(seconds[series.first :], values, strict=True) if begin <= at <= end])
        for begin, end in windows
    )
    return float(first), float(last)
