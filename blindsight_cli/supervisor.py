"""Keeping the enclave and the gateway running on one machine, and ending them in order."""

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
"""A unit that ran this long before it ended is restarted without a pause."""
_STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Unit:
    """A unit to keep running, with these arguments, logging to `log`."""

    name: str
    module: str
    arguments: list[str]
    environment: Mapping[str, str]
    log: Path


class UnitFailed(Exception):
    """A unit ended before the stack was up; the message is the last line of its log."""


class Supervisor:
    """Starts units, restarts one that ends, stops them in reverse order."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        """`tell` is told of each unit that has ended and is started again."""
        self._tell = tell
        self._keepers: list[asyncio.Task[None]] = []
        self.up = False
        """Set by the caller once the stack answers: from then on units are restarted instead of given up."""
        self.failed = asyncio.Event()
        self.failure = ""

    def start(self, unit: Unit) -> None:
        self._keepers.append(asyncio.create_task(self._keep(unit)))

    async def stop(self) -> None:
        """End the units, last started first, so that the gateway drains while the enclave still answers."""
        for keeper in reversed(self._keepers):
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    def fail(self, reason: str) -> None:
        """Give up, for this reason or the one before it."""
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
                # Ctrl-C is for the supervisor alone: it knows the order.
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )  # fmt: skip
        try:
            await process.wait()
        finally:
            if process.returncode is None:
                await _end(process)


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
    """A killed supervisor must not leave an enclave behind that no process ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "its log is empty"
