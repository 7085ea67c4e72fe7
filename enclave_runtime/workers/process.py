"""The runtime's side of a worker process: start, calls and end."""

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
"""Nice value of workers, so that the runtime, and the start of a replacement, take precedence."""

_START_SECONDS = 120.0
"""Seconds within which the function must be loaded and warm. Large models on busy machines are slow."""
LIMITS: Final = Limits(memory_bytes=6 << 30, file_bytes=1 << 30, nice=NICE)
"""Resource limits of a worker. ResNet50 takes less than 2 GiB for the largest photo (docs/photos.md)."""


class WorkerLost(Exception):
    """The worker ended or was killed before it answered. A new worker may succeed."""


class FunctionBroken(Exception):
    """The function cannot be loaded; the message has the reason. A new worker would fail in the same way."""


@dataclass(frozen=True)
class Workplace:
    """The parameters with which all workers of a function are started.

    `folder` contains the function, `weights` the files that workers share; `threads` are the numbers of threads that
    calls will use.
    """

    warden: Warden
    folder: Path
    weights: Path
    threads: Sequence[int]
    limits: Limits


class WorkerProcess:
    """A started worker. It processes one call at a time. After a cancelled or late call it must be killed."""

    def __init__(self, process: ConfinedProcess) -> None:
        self._process = process

    @classmethod
    async def start(cls, workplace: Workplace, *, draft: Path | None = None) -> WorkerProcess:
        """Start a worker and wait until it is warm.

        The first worker gets `draft`, a folder for the files that all will share. Raises `FunctionBroken` if the
        function cannot be loaded, `WorkerLost` if the process cannot be started or confined, or ends.
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
            # Out of memory or processes, or confinement failed: the function is not the cause.
            if isinstance(error, (OSError, TimeoutError, ProcessLost, LayerUnavailable)):
                raise WorkerLost from error
            raise
        if "error" in hello:
            await process.close()
            raise FunctionBroken(hello["error"])
        return worker

    @property
    def pid(self) -> int:
        """The process id, in the runtime's namespace."""
        return self._process.pid

    async def call(self, header: dict[str, Any], body: bytes | memoryview) -> dict[str, Any]:
        """Send a header and a body, and return the answer's header. It is untrusted. Raises `WorkerLost`."""
        try:
            answer, _ = await self._process.call(header, body)
        except ProcessLost as error:
            raise WorkerLost from error
        return answer

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.ended

    async def wait(self) -> int:
        """Wait for the end of the process, and return its exit status."""
        return await self._process.wait()

    async def kill(self) -> None:
        """Kill and reap the process."""
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
