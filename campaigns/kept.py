"""A process that is kept running, as by systemd or Kubernetes: the supervisor of `blindsight up`, one for each."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import psutil

from blindsight_cli.supervisor import Supervisor, Unit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_WORKER = "enclave_runtime.workers.worker"


class Kept:
    """One unit. It is started again when it ends, until `stop`."""

    def __init__(self, name: str, module: str, arguments: list[str], settings: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.unit = Unit(name, module, arguments, settings, log)
        self.endings = 0
        """How often it ended, before `stop`."""
        self.ends = 0
        """How often `end` ended it."""
        self._supervisor: Supervisor | None = None

    def start(self) -> None:
        self._supervisor = Supervisor(self._ended)
        self._supervisor.up = True  # From its first start on.
        self._supervisor.start(self.unit)

    async def stop(self) -> None:
        """End it with SIGTERM, also if it stands still."""
        if self._supervisor is not None:
            self.send(signal.SIGCONT)
            await self._supervisor.stop()
            self._supervisor = None

    @property
    def pid(self) -> int | None:
        """None while it is away."""
        return self._supervisor.pids.get(self.name) if self._supervisor else None

    def send(self, number: signal.Signals) -> int | None:
        """Send a signal, if it is there. Returns its process id."""
        pid = self.pid
        if pid is not None:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return None
        return pid

    def end(self, number: signal.Signals) -> None:
        """Send a signal that ends it. It is started again."""
        if self.send(number) is not None:
            self.ends += 1

    def tree(self) -> list[psutil.Process]:
        """Its process and all below it; empty while it is away."""
        try:
            process = psutil.Process(self.pid) if self.pid else None
            return [process, *process.children(recursive=True)] if process else []
        except psutil.NoSuchProcess:
            return []

    def workers(self) -> list[psutil.Process]:
        """Of an enclave's runtime: its workers, of each the innermost process, which classifies."""
        found = []
        for child in self.tree()[:1] and self.tree()[0].children():
            try:
                if _WORKER in child.cmdline():
                    found.append(_innermost(child))
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        return found

    def _ended(self, _: str) -> None:
        self.endings += 1


def _innermost(process: psutil.Process) -> psutil.Process:
    while children := process.children():
        process = children[0]
    return process
