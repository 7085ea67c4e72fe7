"""The runtime's side of a Cape function's process."""

from __future__ import annotations

import asyncio
import builtins
import logging
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blindsight.errors import CapeError
from enclave_runtime.cape.handler import EXPLAIN, MAX_BODY_BYTES
from enclave_runtime.cape.rpc import SOCKET, RpcServer
from enclave_runtime.confinement.layers import LayerUnavailable
from enclave_runtime.confinement.plan import MAX_TASKS, Limits
from enclave_runtime.confinement.process import ConfinedProcess, ProcessLost, Program, finish, new_place

if TYPE_CHECKING:
    from pathlib import Path

    from enclave_runtime.cape.rpc import Rpc
    from enclave_runtime.confinement.warden import Warden

_log = logging.getLogger(__name__)

_NICE = 5

_MAX_HEADER_BYTES = 4096
"""Of an answer's header. The function can write to the channel, and the event loop parses this JSON."""


@dataclass(frozen=True)
class HandlerLimits:
    """Resource limits of a function's process with its children."""

    call_seconds: float = 300.0
    start_seconds: float = 120.0
    memory_bytes: int = 4 << 30
    """Includes files and shared memory if there are control groups; otherwise only data."""
    file_bytes: int = 1 << 30
    tasks: int = MAX_TASKS
    threads: int = 1
    """Number of threads for numerical libraries."""


class ExplainedError(CapeError):
    """A tested function failed; `traceback` is in UTF-8, and comes unverified from the function's process."""

    def __init__(self, code: str, message: str, traceback: bytes) -> None:
        super().__init__(code, message)
        self.traceback = traceback


class HandlerProcess:
    """A running process with its folder and its socket. It processes one call at a time and keeps state between calls.

    A call that is cancelled or late ends the process. Always call `close`.
    """

    def __init__(self, limits: HandlerLimits, *, explain: bool = False) -> None:
        self._limits = limits
        self._explain = explain
        self._resources = AsyncExitStack()
        self._closing: asyncio.Task[None] | None = None
        self._process: ConfinedProcess

    @classmethod
    async def start(
        cls,
        code: Path,
        *,
        warden: Warden,
        limits: HandlerLimits,
        rpc: Rpc,
        places: Path | None = None,
        explain: bool = False,
    ) -> HandlerProcess:
        """Start a process on the function in `code` and wait until it is loaded.

        With `explain`, `bad_bundle` and `function_failed` are an `ExplainedError`: for a test by the party that sent
        the code and the input.

        `code` is an absolute path that no other process writes to. The process's folder is created in `places`, or
        beside `code`. Raises `CapeError`: `bad_bundle` if the function cannot be loaded, `function_lost` if it ends
        itself, `deadline_exceeded` if it takes too long, `overloaded` if memory or processes are exhausted,
        `enclave_unavailable` if it cannot be confined.
        """
        self = cls(limits, explain=explain)
        try:
            await self._open(code, warden, rpc, places or code.parent)
        except BaseException as error:
            await self.close()
            if isinstance(error, OSError):
                raise CapeError("overloaded", "no process can be started now") from error
            if isinstance(error, ProcessLost):
                raise _lost() from error
            raise
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.ended

    async def call(self, data: bytes | memoryview) -> bytes | memoryview:
        """Run the handler on `data`.

        Raises `CapeError`: `function_failed` leaves the process usable, after `function_lost` and `deadline_exceeded`
        it has ended; `too_large`.
        """
        if len(data) > MAX_BODY_BYTES:
            raise CapeError("too_large", f"an input has at most {MAX_BODY_BYTES} bytes")
        try:
            async with asyncio.timeout(self._limits.call_seconds):
                answer, result = await self._process.call({}, data)
        except BaseException as error:
            await self._process.kill()
            if isinstance(error, TimeoutError):
                raise CapeError(
                    "deadline_exceeded", f"the function took longer than {self._limits.call_seconds:g} s"
                ) from None
            if isinstance(error, ProcessLost):
                raise _lost() from error
            raise
        match answer:
            case {"ok": True}:
                return result
            case {"failure": str() as name}:
                raise self._failure("function_failed", f"function raised {_known(name)}", result)
            case {"too_large": True}:
                raise CapeError("function_failed", "result too large")
        await self._process.kill()
        raise _lost()

    async def close(self) -> None:
        """End the process and its children, and remove its folder. Can be called repeatedly."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._resources.aclose())
        await finish(self._closing)

    async def _open(self, code: Path, warden: Warden, rpc: Rpc, places: Path) -> None:
        place = new_place(places)
        self._process = ConfinedProcess(
            warden,
            place,
            Program(
                "enclave_runtime.cape.handler",
                [EXPLAIN] if self._explain else [],
                Limits(self._limits.memory_bytes, self._limits.file_bytes, self._limits.tasks, _NICE),
                name=code.name if code.name not in {"", SOCKET, "root"} else "function",
                copied=code,
                read_only=[code],
                sockets=[place / SOCKET],
                environment=_environment(self._limits),
                max_header_bytes=_MAX_HEADER_BYTES,
                max_body_bytes=MAX_BODY_BYTES,
            ),
        )
        self._resources.push_async_callback(self._process.close)
        server = RpcServer(place, rpc)
        self._resources.push_async_callback(server.close)
        await server.open()
        await self._process.start()
        server.admit(self._process.pid)
        await self._wait_loaded()

    def _failure(self, code: str, text: str, traceback: bytes | memoryview) -> CapeError:
        return ExplainedError(code, text, bytes(traceback)) if self._explain else CapeError(code, text)

    async def _wait_loaded(self) -> None:
        try:
            async with asyncio.timeout(self._limits.start_seconds):
                hello, body = await self._process.hello()
        except TimeoutError:
            raise CapeError("deadline_exceeded", "the function took too long to load") from None
        except LayerUnavailable as error:
            _log.error("functions cannot be confined", extra={"reason": str(error)})
            raise CapeError("enclave_unavailable", "functions cannot be confined here") from error
        match hello:
            case {"ready": True}:
                return
            case {"error": str() as text}:
                raise self._failure("bad_bundle", text, body)
        raise _lost()


def _known(name: str) -> str:
    known = getattr(builtins, name, None)
    return name if isinstance(known, type) and issubclass(known, BaseException) else Exception.__name__


def _lost() -> CapeError:
    return CapeError("function_lost", "the function ended its process")


def _environment(limits: HandlerLimits) -> dict[str, str]:
    threads = str(limits.threads)
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        # For functions that know nothing of it. It has to be set before ONNX Runtime is loaded.
        "ORT_DISABLE_TELEMETRY": "1",
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
    }
