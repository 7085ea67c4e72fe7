"""One worker, seen from the runtime."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from enclave_runtime.workers import messages
from enclave_runtime.workers.process import FunctionBroken, WorkerLost, WorkerProcess
from tests.enclave_runtime.workers import fake_function
from tests.enclave_runtime.workers.fake_function import call, within
from tests.support.misspelt import misspelt

if TYPE_CHECKING:
    from pathlib import Path

HEADER = {"top_k": 5, "threads": 1}


async def start(folder: Path, source: str = fake_function.SOURCE) -> WorkerProcess:
    return await within(WorkerProcess.start(*fake_function.write(folder, source), [1]))


async def test_a_worker_answers_until_it_is_ended(tmp_path: Path):
    worker = await start(tmp_path)
    assert not worker.ended
    for value in ("first", "second"):
        answer = await within(worker.call(HEADER, call(value=value)))
        assert (answer["result"]["value"], answer["result"]["pid"]) == (value, worker.pid)
    await within(worker.kill())
    assert worker.ended
    assert await within(worker.wait()) == -signal.SIGKILL
    with pytest.raises(WorkerLost):
        await within(worker.call(HEADER, call()))
    await within(worker.kill())


async def test_the_end_of_the_worker_is_told_to_who_waits(tmp_path: Path):
    worker = await start(tmp_path)
    with pytest.raises(WorkerLost):
        await within(worker.call(HEADER, call(do="crash")))
    assert await within(worker.wait()) == 41
    await within(worker.kill())


@pytest.mark.parametrize("spelling", misspelt("{}"))
async def test_a_worker_whose_answer_is_in_another_spelling_of_json_is_lost(tmp_path: Path, spelling: str):
    worker = await start(tmp_path)
    header = misspelt('{"result": {"value": 1}}')[spelling]
    worker._reader = asyncio.StreamReader()
    worker._reader.feed_data(messages.PREFIX.pack(len(header), 0) + header)
    with pytest.raises(WorkerLost):
        await within(worker.call(HEADER, call()))
    await within(worker.kill())


async def test_a_worker_whose_runtime_closes_the_channel_ends_by_itself(tmp_path: Path):
    worker = await start(tmp_path)
    worker._writer.close()
    assert await within(worker.wait()) == 0


async def test_a_broken_function_leaves_no_process(tmp_path: Path):
    source = "import os\nraise RuntimeError(os.getpid())\n"
    with pytest.raises(FunctionBroken) as broken:
        await start(tmp_path, source)
    with pytest.raises(ProcessLookupError):
        os.kill(int(str(broken.value).removeprefix("RuntimeError: ")), 0)


async def test_a_worker_that_ends_while_loading_is_lost_not_broken(tmp_path: Path):
    with pytest.raises(WorkerLost):
        await start(tmp_path, "import os\nos._exit(3)\n")


async def test_a_start_that_is_cancelled_leaves_no_process(tmp_path: Path):
    name = f"\0blindsight-test-{secrets.token_hex(8)}"
    loading: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    server = await asyncio.start_unix_server(lambda _, writer: loading.put_nowait(writer), path=name)
    source = f"import socket\nchannel = socket.socket(socket.AF_UNIX)\nchannel.connect({name!r})\nchannel.recv(1)\n"
    starting = asyncio.create_task(start(tmp_path, source))
    async with server:
        writer = await within(loading.get())
        # The process id of the peer: unix(7), SO_PEERCRED.
        credentials = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await within(starting)
        with pytest.raises(ProcessLookupError):
            os.kill(int.from_bytes(credentials[:4], sys.byteorder), 0)
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def test_no_process_to_be_had_is_a_lost_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    with pytest.raises(WorkerLost):
        await start(tmp_path)
