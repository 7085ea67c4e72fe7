"""Runs enclave and gateway on one machine: restarts them if they end, and stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blindsight_cli.units import command

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_PR_SET_PDEATHSIG = 1
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0
_STEADY_SECONDS = 10.0
"""Seconds: a unit that ran at least this long is restarted without a pause."""
_STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Unit:
    """A process to keep running. Its output is appended to the file `log`."""

    name: str
    module: str
    arguments: list[str]
    environment: Mapping[str, str]
    log: Path


class UnitFailed(Exception):
    """A unit ended before the stack was up. The message is the last line of its log."""


class Supervisor:
    """Starts units, restarts units that end, and stops all in reverse order."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        """`tell` gets a line for the user for each unit that ended and is restarted."""
        self._tell = tell
        self._keepers: list[asyncio.Task[None]] = []
        self.up = False
        """Set by the caller once the stack answers: from then on, a unit that ends is restarted instead of an error."""
        self.pids: dict[str, int] = {}
        """The processes that run, by their units' names."""
        self.failed = asyncio.Event()
        self.failure = ""

    def start(self, unit: Unit) -> None:
        """Start `unit`, and keep it running."""
        self._keepers.append(asyncio.create_task(self._keep(unit)))

    async def stop(self) -> None:
        """Stop the units, last started first, so that the gateway can finish requests while the enclave runs."""
        for keeper in reversed(self._keepers):
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    def fail(self, reason: str) -> None:
        """Record the reason why the stack cannot run; the first one counts."""
        self.failure = self.failure or reason
        self.failed.set()

    async def _keep(self, unit: Unit) -> None:
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE
        while True:
            started = loop.time()
            try:
                await self._run(unit)
                reason = _last_line(unit.log)
            except OSError as error:
                reason = f"{error.filename or unit.module}: {error.strerror}"
            if not self.up:
                self.fail(f"the {unit.name} ended: {reason}")
                return
            self._tell(f"the {unit.name} ended and is started again: {reason}")
            steady = loop.time() - started > _STEADY_SECONDS
            pause = _FIRST_PAUSE if steady else min(pause * 2, _LONGEST_PAUSE)
            await asyncio.sleep(0 if steady else pause)

    async def _run(self, unit: Unit) -> None:
        with unit.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command(unit.module, *unit.arguments),
                env=dict(unit.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C must reach only the supervisor, which stops the units in order.
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )  # fmt: skip
        self.pids[unit.name] = process.pid
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                await _end(process)
            del self.pids[unit.name]


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


def _die_with_parent() -> None:
    """Make the kernel end this process if the supervisor is killed, prctl(2), so that no enclave is left running."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "its log is empty"
