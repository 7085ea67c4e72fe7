"""Persistent connections to the enclave, each with one request at a time."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from blindsight.errors import TransportError
from blindsight.wire import access, address, frames
from blindsight.wire.protocol import FrameKind

if TYPE_CHECKING:
    from pathlib import Path

    from blindsight.wire.address import Address, MakeSocket

_CONNECT_SECONDS = 5.0
_MAX_IDLE = 64

_NOT_ADMITTED = (FrameKind.REFUSAL, frames.pack({"code": "unauthenticated"}))

_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class EnclaveConnections:
    """A pool of connections to one enclave."""

    def __init__(
        self, enclave: Address, secret_file: Path | None = None, *, make_socket: MakeSocket = socket.socket
    ) -> None:
        """`secret_file`: file of the access secret; None if the enclave's port requires none.

        `make_socket(family, type)` creates AF_VSOCK sockets.
        """
        self._address = enclave
        self._secret_file = secret_file
        self._make_socket = make_socket
        self._idle: list[_Streams] = []

    async def exchange(self, kind: FrameKind, payload: bytes = b"") -> tuple[FrameKind, bytes]:
        """Send one frame and read the answer. Cancelling closes the connection, so the enclave cancels the request.

        Raises `TransportError`. A kept connection that is closed before any answer is replaced once.
        """
        while self._idle:
            reader, writer = self._idle.pop()
            if reader.at_eof() or writer.is_closing():
                writer.close()
                continue
            try:
                return await self._ask(reader, writer, kind, payload)
            except _Unanswered:
                # The enclave closed it while it lay idle, and read nothing of this.
                break
        reader, writer = await self._connect()
        try:
            return await self._ask(reader, writer, kind, payload)
        except _Unanswered as error:
            raise TransportError("connection_lost", "The enclave hung up.") from error

    async def dedicated(self) -> _Streams:
        """Open a connection for exclusive use by the caller, who closes it. Raises `TransportError`."""
        return await self._connect()

    async def close(self) -> None:
        while self._idle:
            self._idle.pop()[1].close()

    async def _connect(self) -> _Streams:
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                reader, writer = await address.connect(self._address, make_socket=self._make_socket)
                await self._enter(reader, writer)
                return reader, writer
        except (OSError, TimeoutError) as error:
            raise TransportError("unreachable", "The enclave cannot be reached.") from error

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Authenticate on a new connection, or close it. Raises `TransportError` or `OSError`."""
        if self._secret_file is None:
            return
        try:
            # Read each time: the enclave may make it after this gateway has started, or make another.
            await access.enter(reader, writer, access.read_secret(self._secret_file))
        except FileNotFoundError as error:
            writer.close()
            raise TransportError("access_refused", f"{self._secret_file} is missing: no secret to show.") from error
        except BaseException:
            writer.close()
            raise

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: FrameKind, payload: bytes
    ) -> tuple[FrameKind, bytes]:
        keep = False
        try:
            # Separately, so that a long payload is not copied.
            writer.writelines((frames.head(kind, len(payload)), payload))
            await writer.drain()
            answer = await frames.read(reader)
            if answer is None:
                raise _Unanswered
            if answer == _NOT_ADMITTED:
                raise TransportError("access_refused", "The enclave wants a secret, and this gateway has none.")
            keep = len(self._idle) < _MAX_IDLE
            return answer
        except OSError as error:
            raise _Unanswered from error
        finally:
            if keep:
                self._idle.append((reader, writer))
            else:
                writer.close()


class _Unanswered(Exception):
    """The connection ended cleanly before any answer."""
