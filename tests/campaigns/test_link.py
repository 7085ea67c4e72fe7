"""The link passes everything on, until it is cut, stalled, or reset inside a frame; and again afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from campaigns import shifted
from campaigns.link import Link

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).resolve().parents[2]


@contextlib.asynccontextmanager
async def linked() -> AsyncIterator[Link]:
    """A link to a server that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(1 << 16):
                writer.write(chunk)
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        link = Link(server.sockets[0].getsockname()[1])
        await link.start()
        try:
            yield link
        finally:
            await link.close()


async def echoed(link: Link, content: bytes) -> bytes:
    """What comes back on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
    try:
        writer.write(content)
        writer.write_eof()
        return await reader.read()
    finally:
        writer.close()


async def test_it_passes_everything_on() -> None:
    content = os.urandom(300_000)
    async with linked() as link:
        assert await echoed(link, content) == content


async def test_a_cut_ends_connections_and_refuses_new_ones_until_it_is_restored() -> None:
    async with linked() as link:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        link.cut()
        with pytest.raises(ConnectionError):
            await reader.readexactly(1)
        with pytest.raises(ConnectionError):
            await echoed(link, b"x")
        link.restore()
        assert await echoed(link, b"again") == b"again"
        writer.close()


async def test_a_stall_delays_and_loses_nothing() -> None:
    async with linked() as link:
        link.stall()
        waiting = asyncio.create_task(echoed(link, b"late"))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        link.restore()
        assert await waiting == b"late"


async def test_a_reset_comes_inside_a_frame() -> None:
    async with linked() as link:
        link.reset_after(1000)
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(bytes(5000))
        with pytest.raises(ConnectionError):
            await reader.readexactly(5000)
        writer.close()
        assert await echoed(link, bytes(900)) == bytes(900), "a short one passes"
        link.restore()
        assert await echoed(link, bytes(5000)) == bytes(5000)


def test_the_clock_is_shifted_by_what_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "clock"
    monkeypatch.setattr(shifted, "_FILE", file)
    for seconds in (0, 86400, -86400):
        file.write_text(str(seconds))
        assert abs(shifted.Shifted.now(UTC) - datetime.now(UTC) - timedelta(seconds=seconds)) < timedelta(seconds=5)


def test_the_gateway_runs_with_that_clock(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    file.write_text("0")
    command = [sys.executable, "-m", "campaigns.shifted", str(file), "serve", "--help"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "serve" in done.stdout
