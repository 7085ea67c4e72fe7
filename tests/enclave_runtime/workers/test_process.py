"""One worker, seen from the runtime."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

import psutil
import pytest

from enclave_runtime.workers.process import FunctionBroken, WorkerLost, WorkerProcess
from tests.enclave_runtime.workers import fake_function
from tests.enclave_runtime.workers.fake_function import Gate, call, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from enclave_runtime.confinement.warden import Warden

    Start = Callable[..., Awaitable[WorkerProcess]]

HEADER = {"top_k": 5, "threads": 1}


@pytest.fixture
async def start(tmp_path: Path, warden: Warden) -> AsyncIterator[Start]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(source: str = fake_function.SOURCE) -> WorkerProcess:
            workplace = fake_function.workplace(warden, fake_function.write(tmp_path, source))
            worker = await within(WorkerProcess.start(workplace))
            stack.push_async_callback(worker.kill)
            return worker

        yield start


def places(folder: Path) -> list[Path]:
    return list(folder.glob("run-*"))


def children() -> set[int]:
    """The processes that this one has started."""
    return {child.pid for child in psutil.Process().children(recursive=True)}


async def test_a_worker_answers_until_it_is_ended(start: Start):
    worker = await start()
    assert not worker.ended
    for value in ("first", "second"):
        answer = await within(worker.call(HEADER, call(value=value)))
        assert answer["result"]["value"] == value
    await within(worker.kill())
    assert worker.ended
    assert await within(worker.wait()) == -signal.SIGKILL
    with pytest.raises(WorkerLost):
        await within(worker.call(HEADER, call()))
    await within(worker.kill())


async def test_the_end_of_the_worker_is_told_to_who_waits(start: Start):
    worker = await start()
    with pytest.raises(WorkerLost):
        await within(worker.call(HEADER, call(do="crash")))
    assert await within(worker.wait()) == 41
    await within(worker.kill())


async def test_a_worker_whose_runtime_closes_the_channel_ends_by_itself(start: Start):
    worker = await start()
    worker._process._writer.close()
    assert await within(worker.wait()) == 0


async def test_a_broken_function_leaves_no_process(start: Start):
    before = children()
    with pytest.raises(FunctionBroken):
        await start("raise RuntimeError")
    assert children() == before


async def test_a_worker_that_ends_while_loading_is_lost_not_broken(start: Start):
    with pytest.raises(WorkerLost):
        await start("import os\nos._exit(3)\n")


async def test_a_start_that_is_cancelled_leaves_no_process(start: Start, tmp_path: Path):
    source = "import socket\nloading = socket.socket(socket.AF_UNIX)\nloading.connect('gate')\nloading.recv(1)\n"
    before = children()
    async with Gate(fake_function.write(tmp_path).folder) as gate:
        starting = asyncio.create_task(start(source))
        await gate.arrived()
        assert children() != before
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await within(starting)
        assert children() == before
    assert places(tmp_path) == []


async def test_no_process_to_be_had_is_a_lost_worker(start: Start, monkeypatch: pytest.MonkeyPatch):
    async def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    with pytest.raises(WorkerLost):
        await start()
