"""Descriptors, memory and number of processes of each unit, before the faults and after them."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping

    from campaigns.kept import Kept

_MORE_FILES: Final = 4
"""Descriptors beyond the baseline: such as a log that is opened at its first use."""
_MORE_MEMORY: Final = 1.3
_MORE_BYTES: Final = 48 << 20
"""A process that was started anew has not the same history: its memory may differ by a factor and this many bytes."""


@dataclass(frozen=True)
class Use:
    """Of a unit with all processes below it. `files` are open descriptors without TCP connections, `memory` bytes
    (proportional set size, or resident size).

    Connections are counted separately, because gateways keep some to each enclave.
    """

    processes: int
    files: int
    connections: int
    memory: int

    def row(self) -> dict[str, Any]:
        return asdict(self)


def used(unit: Kept) -> Use:
    """What `unit` uses now."""
    processes = files = connections = memory = 0
    for process in unit.tree():
        try:
            established = len(process.net_connections("tcp"))
            files += len(os.listdir(f"/proc/{process.pid}/fd")) - established  # noqa: PTH208 -- only the number
            memory += _memory(process)
        except (psutil.Error, OSError):
            continue
        connections += established
        processes += 1
    return Use(processes, files, connections, memory)


def leaked(before: Mapping[str, Use], after: Mapping[str, Use], most_connections: int) -> list[str]:
    """What is more than the baseline, in words; empty if nothing is. `most_connections` may be kept for each unit."""
    found = []
    for name, then in before.items():
        now = after[name]
        if now.processes > then.processes:
            found.append(f"{name}: {now.processes} processes, {then.processes} before")
        if now.files > then.files + _MORE_FILES:
            found.append(f"{name}: {now.files} open files, {then.files} before")
        if now.connections > max(then.connections, most_connections):
            found.append(f"{name}: {now.connections} connections, {then.connections} before")
        if now.memory > then.memory * _MORE_MEMORY + _MORE_BYTES:
            found.append(f"{name}: {now.memory >> 20} MiB, {then.memory >> 20} MiB before")
    return found


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        return int(process.memory_info().rss)
