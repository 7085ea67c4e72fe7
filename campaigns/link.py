"""The network between the gateways and one enclave: a TCP proxy that can be cut, stalled, or reset inside a frame."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import Final

_CHUNK: Final = 1 << 16
_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER with which closing resets a connection."""


class Link:
    """Passes bytes between `port`, where gateways connect, and the enclave at `upstream`, both on the loopback."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refuses = False
        self._bytes_left: int | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, sock=self._listener)

    async def close(self) -> None:
        self.restore()
        if self._server is not None:
            self._server.close()
        self._cut()

    def cut(self) -> None:
        """End all connections, and refuse new ones."""
        self._refuses = True
        self._cut()

    def stall(self) -> None:
        """Pass on nothing, but keep the connections and accept new ones."""
        self._flowing.clear()

    def reset_after(self, count: int) -> None:
        """Reset each connection once it has passed on `count` more bytes: inside a frame, if that is longer."""
        self._bytes_left = count

    def restore(self) -> None:
        self._refuses, self._bytes_left = False, None
        self._flowing.set()

    def _cut(self) -> None:
        for writer in list(self._open):
            _reset(writer)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            _reset(writer)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            _reset(writer)
            return
        both = {writer, far_writer}
        self._open |= both
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        except (OSError, asyncio.CancelledError):  # At the campaign's end it is cancelled, and nothing waits for it.
            for each in both:
                _reset(each)
        finally:
            self._open -= both
            for each in both:
                each.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed = 0
        while chunk := await reader.read(_CHUNK):
            await self._flowing.wait()
            left = self._bytes_left
            if left is not None and passed + len(chunk) > left:
                writer.write(chunk[: max(left - passed, 0)])
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(writer.drain(), 1)
                raise ConnectionResetError
            passed = passed + len(chunk) if left is not None else 0
            writer.write(chunk)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
