"""Processor time and memory of processes, from the kernel's counters."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping


class Usage(TypedDict):
    """Of a time span: processor seconds of each process, and of the whole machine."""

    cpu_seconds: dict[str, float]
    machine_cpu_seconds: float
    machine_share: float
    """Busy share of all processors, 0..1."""


class Memory(TypedDict):
    """Bytes. PSS counts a page that n processes share as 1/n of a page; None if the kernel does not report it."""

    rss: int
    rss_peak: int
    pss: int | None


@dataclass(frozen=True)
class Snapshot:
    """Processor seconds since the start of each process, and of the machine."""

    processes: dict[str, float]
    machine: float


def snapshot(processes: Mapping[str, psutil.Process]) -> Snapshot:
    times = psutil.cpu_times()
    busy = sum(times) - times.idle - times.iowait - times.guest - times.guest_nice
    spent: dict[str, float] = {}
    for role, process in processes.items():
        with contextlib.suppress(psutil.NoSuchProcess):  # A Cape session's ends with it.
            spent[role] = _cpu_seconds(process)
    return Snapshot(spent, busy)


def between(before: Snapshot, after: Snapshot, seconds: float) -> Usage:
    """Usage from `before` to `after`, `seconds` apart, by those in `after`; one that is not in `before` is new."""
    machine = after.machine - before.machine
    return {
        "cpu_seconds": {role: spent - before.processes.get(role, 0.0) for role, spent in after.processes.items()},
        "machine_cpu_seconds": machine,
        "machine_share": machine / seconds / (os.cpu_count() or 1),
    }


def memory(processes: Mapping[str, psutil.Process]) -> dict[str, Memory]:
    """Memory of each process that still runs."""
    found: dict[str, Memory] = {}
    for role, process in processes.items():
        with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError, StopIteration):
            found[role] = _memory(process)
    return found


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _memory(process: psutil.Process) -> Memory:
    try:
        pss = int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        pss = None  # Only the superuser may inspect a worker.
    status = Path(f"/proc/{process.pid}/status").read_text()
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return {"rss": process.memory_info().rss, "rss_peak": int(peak) * 1024, "pss": pss}
