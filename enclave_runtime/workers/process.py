"""One worker process, seen from the runtime."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from enclave_runtime.confinement.layers import LayerUnavailable
from enclave_runtime.confinement.plan import Limits
from enclave_runtime.confinement.process import ConfinedProcess, ProcessLost, Program, new_place

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from enclave_runtime.confinement.warden import Warden

NICE: Final = 5
"""How far a worker yields to the runtime, and to a worker that is being started in a lost one's place."""

_START_SECONDS = 120.0
"""In which a function must be loaded and warm; a large model on a busy machine takes some."""
LIMITS: Final = Limits(memory_bytes=6 << 30, file_bytes=1 << 30, nice=NICE)
"""Of one worker. ResNet50 and the largest photo take less than 2 GiB (docs/photos.md); larger models take more."""


class WorkerLost(Exception):
    """The worker ended, or was ended, before it answered."""


class FunctionBroken(Exception):
    """The function cannot be loaded; the message says why. A new worker would fail the same way."""


@dataclass(frozen=True)
class Workplace:
    """What every worker of a function starts with.

    `folder` is the function, `weights` what its workers share; `threads` are the numbers of processor threads that
    calls will ask for.
    """

    warden: Warden
    folder: Path
    weights: Path
    threads: Sequence[int]
    limits: Limits


class WorkerProcess:
    """A started worker. One call at a time; a call that is cancelled or late costs the worker its life."""

    def __init__(self, process: ConfinedProcess) -> None:
        self._process = process

    @classmethod
    async def start(cls, workplace: Workplace, *, draft: Path | None = None) -> WorkerProcess:
        """Start a worker and wait until it is warm.

        The first one is given `draft`, a folder in which it makes what all will share. Raises `FunctionBroken`,
        `WorkerLost`.
        """
        place = new_place(workplace.folder.parent)
        shared = draft or workplace.weights
        process = ConfinedProcess(
            workplace.warden,
            place,
            Program(
                "enclave_runtime.workers.worker",
                [str(workplace.folder)],
                workplace.limits,
                read_only=[workplace.folder, *([] if draft else [workplace.weights])],
                writable=[draft] if draft else [],
                environment=_environment(shared, workplace.threads),
            ),
        )
        worker = cls(process)
        try:
            await process.start()
            async with asyncio.timeout(_START_SECONDS):
                hello, _ = await process.hello()
        except BaseException as error:
            await process.close()
            # No memory or no process left, or none that could be confined: not the function's fault.
            if isinstance(error, (OSError, TimeoutError, ProcessLost, LayerUnavailable)):
                raise WorkerLost from error
            raise
        if "error" in hello:
            await process.close()
            raise FunctionBroken(hello["error"])
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    async def call(self, header: dict[str, Any], body: bytes | memoryview) -> dict[str, Any]:
        """Send one call and wait for its answer. Raises `WorkerLost`."""
        try:
            answer, _ = await self._process.call(header, body)
        except ProcessLost as error:
            raise WorkerLost from error
        return answer

    @property
    def ended(self) -> bool:
        return self._process.ended

    async def wait(self) -> int:
        """Wait for the process to end."""
        return await self._process.wait()

    async def kill(self) -> None:
        """End the process at once and reap it."""
        await self._process.close()


def _environment(shared: Path, threads: Sequence[int]) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "ORT_DISABLE_TELEMETRY": "1",
        "BLINDSIGHT_SHARED_WEIGHTS": str(shared),
        "BLINDSIGHT_THREADS": ",".join(str(count) for count in threads),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
