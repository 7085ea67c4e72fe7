"""Long bodies, whole at both ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from blindsight.wire import bodies
from blindsight.wire.gathered import PIECE_BYTES, Gathered


def test_pieces_are_gathered_in_order() -> None:
    gathered = Gathered(10)
    for piece in (b"ab", b"", memoryview(b"cde")):
        gathered.add(piece)
    gathered.reserve(2)[:] = b"fg"
    assert (len(gathered), bytes(gathered.content)) == (7, b"abcdefg")
    assert gathered.content.readonly
    with pytest.raises(ValueError, match="more than was announced"):
        gathered.add(b"1234")
    assert gathered.content == b"abcdefg"
    gathered.add(b"123")
    assert gathered.content == b"abcdefg123"


def test_nothing_can_be_gathered() -> None:
    assert Gathered(0).content == b""


def test_a_view_outlives_what_gathered_it() -> None:
    gathered = Gathered(PIECE_BYTES)
    gathered.add(b"still here")
    content = gathered.content
    del gathered
    assert content == b"still here"


LENGTHS = [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 5]


@pytest.mark.parametrize("length", LENGTHS)
async def test_a_body_comes_back(length: int) -> None:
    body = bytes(range(251)) * (length // 251 + 1)
    body = body[:length]
    received: list[Any] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await bodies.read(reader, length))
        received.append(await reader.read(1))
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        await bodies.write(writer, memoryview(body))
        writer.write(b"!")
        async with asyncio.timeout(30):
            await reader.read()
        writer.close()
    assert received == [body, b"!"]


@pytest.mark.parametrize("length", LENGTHS[1:])
async def test_a_body_that_ends_early_is_noticed(length: int) -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(bytes(length - 1))
    reader.feed_eof()
    with pytest.raises(asyncio.IncompleteReadError):
        await bodies.read(reader, length)
