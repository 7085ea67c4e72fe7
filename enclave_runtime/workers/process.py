"""One worker process, seen from the runtime."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

from blindsight import strict_json
from blindsight.wire import bodies
from enclave_runtime.workers import messages

if TYPE_CHECKING:
    from pathlib import Path


_START_SECONDS = 120.0
"""In which a function must be loaded and warm; a large model on a busy machine takes some."""


class WorkerLost(Exception):  # noqa: N818 -- names what happened
    """The worker ended, or was ended, before it answered."""


class FunctionBroken(Exception):  # noqa: N818
    """The function cannot be loaded; the message says why. A new worker would fail the same way."""


class WorkerProcess:
    """A started worker. One call at a time; a call that is cancelled or late costs the worker its life."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, folder: Path, shared: Path, threads: list[int]) -> WorkerProcess:
        """Start a worker on the function in `folder` and wait until it is warm.

        `shared` is a folder for what all workers of a function may share, `threads` are the numbers of processor
        threads that calls will ask for. Raises `FunctionBroken`, `WorkerLost`.
        """
        ours, theirs = socket.socketpair()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-m", "enclave_runtime.workers.worker", str(theirs.fileno()),
                cwd=folder,
                env=_environment(folder, shared, threads),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        except BaseException as error:
            ours.close()
            if isinstance(error, OSError):  # No memory or no process left: not the function's fault.
                raise WorkerLost from error
            raise
        finally:
            theirs.close()
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=messages.MAX_HEADER_BYTES)
        worker = cls(process, reader, writer)
        try:
            async with asyncio.timeout(_START_SECONDS):
                hello = await worker._receive()
        except BaseException as error:
            await worker.kill()
            if isinstance(error, TimeoutError):
                raise WorkerLost from error
            raise
        if "error" in hello:
            await worker.kill()
            raise FunctionBroken(hello["error"])
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    async def call(self, header: dict[str, Any], body: bytes | memoryview) -> dict[str, Any]:
        """Send one call and wait for its answer. Raises `WorkerLost`."""
        try:
            self._writer.write(messages.head(header, len(body)))
            await bodies.write(self._writer, body)
        except OSError as error:
            raise WorkerLost from error
        return await self._receive()

    @property
    def ended(self) -> bool:
        return self._process.returncode is not None

    async def wait(self) -> int:
        """Wait for the process to end."""
        return await self._process.wait()

    async def kill(self) -> None:
        """End the process at once and reap it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        self._writer.close()
        await self._process.wait()

    async def _receive(self) -> dict[str, Any]:
        try:
            prefix = await self._reader.readexactly(messages.PREFIX.size)
            header_bytes, body_bytes = messages.lengths(prefix)
            header = await self._reader.readexactly(header_bytes)
            await self._reader.readexactly(body_bytes)
            answer = strict_json.loads(header)
        except (asyncio.IncompleteReadError, OSError, ValueError) as error:
            raise WorkerLost from error
        if not isinstance(answer, dict):
            raise WorkerLost
        return answer


def _environment(folder: Path, shared: Path, threads: list[int]) -> dict[str, str]:
    """A worker sees none of the runtime's environment, which may hold secrets."""
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        # A library that keeps something for its user finds no user's folder, but this one in memory.
        "HOME": str(folder),
        "ORT_DISABLE_TELEMETRY": "1",
        "BLINDSIGHT_SHARED_WEIGHTS": str(shared),
        "BLINDSIGHT_THREADS": ",".join(str(count) for count in threads),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
