"""The runtime's side of the harness: one confined process, from its start to its removal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from blindsight import strict_json
from blindsight.wire import bodies
from enclave_runtime import boot
from enclave_runtime.confinement import folder, messages, packages, waiting
from enclave_runtime.confinement.layers import LayerUnavailable
from enclave_runtime.confinement.plan import Limits, Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from enclave_runtime.confinement.cgroups import Group
    from enclave_runtime.confinement.warden import Warden

T = TypeVar("T")

_PATIENCE_SECONDS: Final = 0.2
"""Time for a process that has closed its channel to end, so that the log can contain its exit status."""

_TOGETHER_BYTES: Final = 256 * 1024
"""Up to this size, head and body are copied into one message."""

_END_SECONDS: Final = 5.0
"""Time for a process to end all others when told so; it needs some milliseconds."""


class ProcessLost(Exception):
    """The process has ended, was ended, or violated the protocol."""


@dataclass(frozen=True)
class Program:
    """The program to run: a module of the runtime, and its resources. Paths are absolute.

    `name` is that of the working folder, which is filled from `copied`. `environment` is its whole environment, because
    the runtime's own can contain secrets. `max_header_bytes` and `max_body_bytes` limit its answers; the event loop
    parses its headers.
    """

    module: str
    arguments: Sequence[str]
    limits: Limits
    name: str = "function"
    copied: Path | None = None
    read_only: Sequence[Path] = ()
    writable: Sequence[Path] = ()
    sockets: Sequence[Path] = ()
    environment: Mapping[str, str] | None = None
    max_header_bytes: int = messages.MAX_HEADER_BYTES
    max_body_bytes: int = messages.MAX_BODY_BYTES


class ConfinedProcess:
    """A started process. Always call `close`."""

    def __init__(self, warden: Warden, place: Path, program: Program) -> None:
        """`place` is a new folder from `new_place`, which `close` removes."""
        self._warden = warden
        self._program = program
        self.place = place
        self._resources = AsyncExitStack()
        self._resources.push_async_callback(asyncio.to_thread, folder.remove, place)
        self._closing: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter
        self._end: asyncio.Task[int]

    async def start(self) -> None:
        """Start it and send it its plan. Raises `OSError`."""
        limits = self._program.limits
        user = self._warden.take_user()
        self._resources.callback(self._warden.give_back, user)
        making = asyncio.ensure_future(asyncio.to_thread(self._warden.group, limits))
        self._resources.push_async_callback(_remove, making)
        group = await asyncio.shield(making)
        kept = ["--bytecode", str(self._warden.bytecode)] if self._warden.bytecode else []
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
                *boot.command(*kept, self._program.module, str(theirs.fileno()), *self._program.arguments),
                cwd="/",
                # Without a home Python would ask the system for the user's, and so a name service.
                env={"HOME": "/", **(self._program.environment or {})},
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        self._end = asyncio.create_task(self._reap())
        self._resources.push_async_callback(self.kill)
        if group is not None:
            # Before it is told to begin.
            await asyncio.to_thread(group.add, self._process.pid)
        await self._send(messages.encode({"plan": self._plan(user).to_dict()}))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def working(self) -> Path:
        return self.place / self._program.name

    @property
    def ended(self) -> bool:
        return self._process.returncode is not None

    async def hello(self) -> tuple[dict[str, Any], bytes | memoryview]:
        """Its first message. Raises `LayerUnavailable` if it could not be confined, `ProcessLost`."""
        hello, body = await self.receive()
        match hello:
            case {"unavailable": str() as layer, "reason": str() as reason}:
                raise LayerUnavailable(layer, reason)
        return hello, body

    async def call(self, header: dict[str, Any], body: bytes | memoryview) -> tuple[dict[str, Any], bytes | memoryview]:
        """Send one call and wait for its answer. Raises `ProcessLost`."""
        head = messages.head(header, len(body))
        if len(body) <= _TOGETHER_BYTES:
            # Otherwise the process would wake up for the head, and wait again.
            await self._send(b"".join((head, body)))
            return await self.receive()
        await self._send(head)
        try:
            await bodies.write(self._writer, body)
        except OSError as error:
            raise ProcessLost from error
        return await self.receive()

    async def receive(self) -> tuple[dict[str, Any], bytes | memoryview]:
        """Its next message; only the form is checked. Raises `ProcessLost`."""
        try:
            prefix = await self._reader.readexactly(messages.PREFIX.size)
            header_bytes, body_bytes = messages.lengths(prefix, max_body_bytes=self._program.max_body_bytes)
            if header_bytes > self._program.max_header_bytes:
                raise ProcessLost
            header = strict_json.loads(await self._reader.readexactly(header_bytes))
            body = await bodies.read(self._reader, body_bytes)
        except (asyncio.IncompleteReadError, OSError, ValueError) as error:
            raise ProcessLost from error
        if not isinstance(header, dict):
            raise ProcessLost
        return header, body

    async def wait(self) -> int:
        """Wait for its end; returns the exit status."""
        return await asyncio.shield(self._end)

    async def kill(self) -> None:
        """End it with its children, and reap it. Can be called repeatedly."""
        if self._end.done():
            return
        if not self._warden.layers.namespaces:
            self._kill_group()
            await finish(self._end)
            return
        # It stands outside, and is to be the last to go. What ends by itself may say how.
        patience = _PATIENCE_SECONDS if self._reader.at_eof() else 0.0
        loop = asyncio.get_running_loop()
        timers = [
            loop.call_later(patience, self._signal, os.kill, waiting.END),
            loop.call_later(patience + _END_SECONDS, self._kill_group),
        ]
        try:
            await finish(self._end)
        finally:
            for timer in timers:
                timer.cancel()

    async def close(self) -> None:
        """End it, and remove its folder and group. Can be called repeatedly."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._resources.aclose())
        await finish(self._closing)

    def _plan(self, user: int | None) -> Plan:
        program, bytecode = self._program, self._warden.bytecode
        return Plan(
            layers=self._warden.layers,
            limits=program.limits,
            working=str(self.working),
            copied=str(program.copied) if program.copied else None,
            read_only=tuple(map(str, (*program.read_only, *([bytecode] if bytecode else [])))),
            writable=tuple(map(str, program.writable)),
            sockets=tuple(map(str, program.sockets)),
            hidden=tuple(map(str, self._warden.hidden)),
            package_folders=packages.folders(),
            packages=packages.promised(),
            user=user,
        )

    async def _send(self, encoded: bytes) -> None:
        try:
            self._writer.write(encoded)
            await self._writer.drain()
        except OSError as error:
            raise ProcessLost from error

    async def _reap(self) -> int:
        status = await self._process.wait()
        # What it started is in its session still: the filter lets nothing leave it.
        self._kill_group()
        return status

    def _kill_group(self) -> None:
        self._signal(os.killpg, signal.SIGKILL)

    def _signal(self, send: Callable[[int, int], None], number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            send(self._process.pid, number)


def new_place(parent: Path) -> Path:
    """A new folder with an unguessable name: without namespaces only the path protects a socket.

    Raises `OSError`.
    """
    place = parent / f"run-{secrets.token_hex(16)}"
    # Not 0700: a process with a user id of its own has to pass through.
    place.mkdir(mode=0o711)
    return place


async def _remove(making: asyncio.Future[Group | None]) -> None:
    """Remove the group, also one that was asked for in vain."""
    await asyncio.wait([making])
    if making.exception() is None and (group := making.result()) is not None:
        await asyncio.to_thread(group.remove)


async def finish(work: asyncio.Task[T]) -> T:
    """Wait until `work` is done, even if cancelled meanwhile; then raise the cancellation."""
    interruption: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError as error:
            interruption = error
    if interruption is not None:
        raise interruption
    return work.result()
