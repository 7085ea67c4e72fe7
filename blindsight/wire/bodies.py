"""Long bodies on asyncio streams, in pieces, so that no step blocks the event loop for long."""

from __future__ import annotations

import asyncio

from blindsight.wire.gathered import PIECE_BYTES, Gathered


async def read(reader: asyncio.StreamReader, count: int) -> bytes | memoryview:
    """Read `count` bytes. Raises `asyncio.IncompleteReadError`, `OSError`."""
    if count <= PIECE_BYTES:
        return await reader.readexactly(count)
    gathered = Gathered(count)
    while len(gathered) < count:
        piece = await reader.read(min(PIECE_BYTES, count - len(gathered)))
        if not piece:
            raise asyncio.IncompleteReadError(b"", count - len(gathered))
        gathered.add(piece)
    return gathered.content


async def write(writer: asyncio.StreamWriter, body: bytes | memoryview) -> None:
    """Write `body`, waiting for the reader. Raises `OSError`."""
    view = memoryview(body)
    for start in range(0, len(view), PIECE_BYTES):
        writer.write(view[start : start + PIECE_BYTES])
        await writer.drain()
