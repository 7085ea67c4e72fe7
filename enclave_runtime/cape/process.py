"""One process of a Cape function, seen from the runtime."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import logging
import os
import signal
import socket
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from blindsight import strict_json
from blindsight.errors import CapeError
from blindsight.wire import bodies
from enclave_runtime.cape.handler import MAX_BODY_BYTES, MEMORY_VARIABLE, SANDBOX_VARIABLE
from enclave_runtime.cape.place import Place
from enclave_runtime.cape.rpc import RpcServer
from enclave_runtime.workers import messages

if TYPE_CHECKING:
    from pathlib import Path

    from enclave_runtime.cape.rpc import Rpc

_log = logging.getLogger(__name__)

T = TypeVar("T")

_MAX_HEADER_BYTES = 4096
"""Of an answer: a few words. The function can write to the channel, and its JSON is read in the event loop."""


@dataclass(frozen=True)
class HandlerLimits:
    """What a function's process may take."""

    call_seconds: float = 300.0
    start_seconds: float = 120.0
    memory_bytes: int = 4 << 30
    """Of data; files, and pages that are shared, count apart."""
    threads: int = 1
    """That numerical libraries are told to use."""
    sandboxed: bool = True
    """False is for development on machines without Landlock: nothing then keeps functions apart."""


class HandlerProcess:
    """A started process with its place and its socket. One call at a time, each seeing what the last one left.

    A call that is cancelled or late costs the process its life; `close` has to be called in any case.
    """

    def __init__(self, limits: HandlerLimits) -> None:
        self._limits = limits
        self._resources = AsyncExitStack()
        self._closing: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._end: asyncio.Task[None]

    @classmethod
    async def start(cls, code: Path, *, limits: HandlerLimits, rpc: Rpc, places: Path | None = None) -> HandlerProcess:
        """Start a process on the function in `code`, an absolute path nobody else writes, and wait until it is loaded.

        Its place is made in `places`, or beside `code`. Raises `CapeError`: `bad_bundle` if the function cannot be
        loaded, `function_lost` if it ends itself, `deadline_exceeded` if it takes too long, `overloaded` if there is no
        memory or process left, `enclave_unavailable` if it cannot be confined.
        """
        self = cls(limits)
        try:
            await self._open(code, rpc, places or code.parent)
        except BaseException as error:
            await self.close()
            if isinstance(error, OSError):
                raise CapeError("overloaded", "no process can be started now") from error
            raise
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.returncode is not None

    async def call(self, data: bytes | memoryview) -> bytes | memoryview:
        """Run the handler on `data`.

        Raises `CapeError`: `function_failed` leaves the process usable, after `function_lost` and `deadline_exceeded`
        it has ended; `too_large`.
        """
        if len(data) > MAX_BODY_BYTES:
            raise CapeError("too_large", f"an input has at most {MAX_BODY_BYTES} bytes")
        try:
            async with asyncio.timeout(self._limits.call_seconds):
                self._writer.write(messages.head({}, len(data)))
                await bodies.write(self._writer, data)
                answer, result = await self._receive()
        except BaseException as error:
            await self._kill()
            if isinstance(error, TimeoutError):
                raise CapeError(
                    "deadline_exceeded", f"the function took longer than {self._limits.call_seconds:g} s"
                ) from None
            if isinstance(error, OSError):
                raise _lost() from error
            raise
        match answer:
            case {"ok": True}:
                return result
            case {"failure": str() as name}:
                raise CapeError("function_failed", f"function raised {_known(name)}")
            case {"too_large": True}:
                raise CapeError("function_failed", "result too large")
        await self._kill()
        raise _lost()

    async def close(self) -> None:
        """End the process and all that it started, and remove what was made for it. May be called again."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._resources.aclose())
        await _finish(self._closing)

    async def _open(self, code: Path, rpc: Rpc, places: Path) -> None:
        place = Place(places, code.name)
        self._resources.push_async_callback(asyncio.to_thread, place.remove)
        filling = asyncio.create_task(asyncio.to_thread(place.fill, code, link=self._limits.sandboxed))
        await _finish(filling)
        server = RpcServer(place.folder, rpc)
        self._resources.push_async_callback(server.close)
        await server.open()
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._reader, self._writer = await asyncio.open_unix_connection(
                    sock=ours, limit=messages.MAX_HEADER_BYTES
                )
            except BaseException:
                ours.close()
                raise
            self._resources.callback(self._writer.close)
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-m", "enclave_runtime.cape.handler", str(theirs.fileno()), str(code),
                cwd=place.working,
                env=_environment(place.working, self._limits),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        self._end = asyncio.create_task(self._reap())
        self._resources.push_async_callback(self._kill)
        server.admit(self._process.pid)
        await self._wait_loaded()

    async def _wait_loaded(self) -> None:
        try:
            async with asyncio.timeout(self._limits.start_seconds):
                hello, _ = await self._receive()
        except TimeoutError:
            raise CapeError("deadline_exceeded", "the function took too long to load") from None
        match hello:
            case {"ready": True}:
                return
            case {"error": str() as text}:
                raise CapeError("bad_bundle", text)
            case {"unconfined": str() as reason}:
                _log.error("functions cannot be confined", extra={"reason": reason})
                raise CapeError("enclave_unavailable", "functions cannot be confined here")
        raise _lost()

    async def _receive(self) -> tuple[dict[str, Any], bytes | memoryview]:
        """The process's next message: checked like any input. Raises `CapeError` (`function_lost`)."""
        try:
            prefix = await self._reader.readexactly(messages.PREFIX.size)
            header_bytes, body_bytes = messages.lengths(prefix, max_body_bytes=MAX_BODY_BYTES)
            if header_bytes > _MAX_HEADER_BYTES:
                raise _lost()
            header = strict_json.loads(await self._reader.readexactly(header_bytes))
            body = await bodies.read(self._reader, body_bytes)
        except (asyncio.IncompleteReadError, OSError, ValueError) as error:
            raise _lost() from error
        if not isinstance(header, dict):
            raise _lost()
        return header, body

    async def _reap(self) -> None:
        await self._process.wait()
        # What it started is in its session still: the sandbox lets nothing leave it.
        self._kill_group()

    async def _kill(self) -> None:
        if self._process.returncode is None:
            self._kill_group()
        await _finish(self._end)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _known(name: str) -> str:
    known = getattr(builtins, name, None)
    return name if isinstance(known, type) and issubclass(known, BaseException) else Exception.__name__


def _lost() -> CapeError:
    return CapeError("function_lost", "the function ended its process")


async def _finish(work: asyncio.Task[T]) -> T:
    """Wait until `work` is done, also when cancelled meanwhile; then the cancellation is raised."""
    interruption: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            interruption = error
    if interruption is not None:
        raise interruption
    return work.result()


def _environment(working: Path, limits: HandlerLimits) -> dict[str, str]:
    """A function sees none of the runtime's environment, which may hold secrets."""
    threads = str(limits.threads)
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "HOME": str(working),
        "TMPDIR": str(working),
        "USER": "function",
        # For functions that know nothing of it. It has to be set before ONNX Runtime is loaded.
        "ORT_DISABLE_TELEMETRY": "1",
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        MEMORY_VARIABLE: str(limits.memory_bytes),
        SANDBOX_VARIABLE: "on" if limits.sandboxed else "off",
    }
