"""A session's connection: the gateway's frames in order, and the session's answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from blindsight.errors import TransportError
from blindsight.wire import cape, frames
from blindsight.wire.protocol import MAX_NONCE_BYTES, FrameKind

if TYPE_CHECKING:
    from collections.abc import Iterator


class Line:
    """`inbox` is filled by another task. Every method raises `OSError` if the gateway has closed the connection."""

    def __init__(self, inbox: asyncio.Queue[tuple[FrameKind, bytes]], writer: asyncio.StreamWriter) -> None:
        self._inbox = inbox
        self._writer = writer
        self._idle = asyncio.Event()

    async def idle_once(self, draining: asyncio.Event) -> None:
        """Wait until no input is processed after `draining` was set."""
        await draining.wait()
        await self._idle.wait()

    async def next(self, kind: FrameKind) -> bytes:
        """The next frame's payload. Raises `TransportError` if it is not of `kind`."""
        if self._inbox.empty():
            self._idle.set()
        found, payload = await self._inbox.get()
        self._idle.clear()
        if found is not kind:
            raise TransportError("bad_frame", "A frame of a session is out of turn.")
        return payload

    async def nonce(self) -> bytes:
        """The client's nonce. Raises `TransportError`."""
        nonce = await self.next(FrameKind.CAPE_NONCE)
        if len(nonce) > MAX_NONCE_BYTES:
            raise TransportError("bad_frame", f"A nonce has at most {MAX_NONCE_BYTES} bytes.")
        return nonce

    async def opened(self, *, need_function: bool = False) -> None:
        """Send CAPE_OPENED."""
        await self.send(FrameKind.CAPE_OPENED, {"need_function": need_function})

    async def text(self, text: str) -> None:
        """Send a text frame for the client."""
        for frame in cape.pieces(FrameKind.CAPE_TEXT, text.encode()):
            await self.write(frame)

    async def long_text(self, pieces: Iterator[bytes]) -> None:
        """Send a text frame in pieces."""
        for frame in cape.streamed(FrameKind.CAPE_TEXT, pieces):
            await self.write(frame)
            await asyncio.sleep(0)  # `drain` lets others have a turn only if the gateway does not keep up.

    async def send(self, kind: FrameKind, fields: dict[str, Any]) -> None:
        await self.write(frames.encode(kind, frames.pack(fields)))

    async def write(self, frame: bytes) -> None:
        self._writer.write(frame)
        await self._writer.drain()

    async def wait_for_end(self) -> None:
        """Wait until the client closes."""
        self._idle.set()
        await asyncio.Event().wait()

    async def read_to_end(self) -> None:
        """Read remaining frames, so that the gateway receives the last answer: closing with unread bytes would discard
        it.
        """
        self._idle.set()
        while True:
            await self._inbox.get()
