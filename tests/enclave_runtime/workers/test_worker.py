"""What a worker process is kept from: secrets, traces, and outliving the runtime."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.enclave_runtime.workers.fake_function import Gate, call, within

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import pytest

    from enclave_runtime.workers.pool import WorkerPool

    Start = Callable[..., Awaitable[WorkerPool]]

RUNTIME = """
import asyncio, sys
from pathlib import Path
from enclave_runtime.confinement.warden import Warden
from enclave_runtime.workers.process import WorkerProcess
from tests.enclave_runtime.workers import fake_function

async def main(folder, image):
    warden = Warden.appoint(total_bytes=1 << 30, landlock_abi=8)
    worker = await WorkerProcess.start(fake_function.workplace(warden, fake_function.write(Path(folder))))
    print(worker.pid, flush=True)
    await worker.call({"top_k": 5, "threads": 1}, image.encode())

asyncio.run(main(*sys.argv[1:]))
"""


def places(folder: Path) -> list[Path]:
    """Of workers, beside the function."""
    return list(folder.glob("run-*"))


async def test_the_worker_sees_nothing_of_the_runtime(
    start_pool: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("BLINDSIGHT_TOKEN", "a secret of the runtime")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    pool = await start_pool(1)
    seen = await within(pool.classify(call(do="surroundings"), 5))
    (place,) = places(tmp_path)
    # Where the promised packages lie in no folder of the interpreter's own.
    assert seen["environment"].pop("PYTHONPATH", "/site-packages").endswith("/site-packages")
    assert seen["environment"] == {
        "HOME": str(place / "function"),
        "LOGNAME": "function",
        "PYTHONPYCACHEPREFIX": "/tmp/.bytecode",
        "TMPDIR": "/tmp",
        "USER": "function",
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "BLINDSIGHT_SHARED_WEIGHTS": str(tmp_path / "draft"),
        "BLINDSIGHT_THREADS": "1,4",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    assert seen["isolated"] == 1
    assert seen["folder"] == str(tmp_path / "function")
    # Standard input, output and error, all /dev/null, and its end of the channel: no socket or file of the runtime.
    assert len(seen["descriptors"]) == 4
    assert seen["descriptors"][:3] == [0, 1, 2]


async def test_the_worker_leaves_no_core_and_no_debugger_in(start_pool: Start):
    pool = await start_pool(1)
    seen = await within(pool.classify(call(do="surroundings"), 5))
    assert seen["core"] == [0, 0]
    assert seen["dumpable"] == 0
    assert seen["death signal"] == signal.SIGKILL


async def test_what_the_function_prints_reaches_nobody(start_pool: Start, capfd: pytest.CaptureFixture[str]):
    pool = await start_pool(1)
    assert (await within(pool.classify(call(do="print", text="seen it", value=1), 5)))["value"] == 1
    assert "seen it" not in "".join(capfd.readouterr())


async def test_an_interrupt_from_the_terminal_is_the_runtimes_to_handle(start_pool: Start):
    pool = await start_pool(1)
    life = (await within(pool.classify(call(), 5)))["life"]
    (worker,) = pool._idle
    os.killpg(worker.pid, signal.SIGINT)
    assert (await within(pool.classify(call(), 5)))["life"] == life


async def test_a_worker_dies_with_its_runtime_even_in_the_middle_of_a_call(tmp_path: Path, gate: Gate):
    """In a call it does not hear that the channel is closed: only the kernel can end it."""
    runtime = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUNTIME, str(tmp_path), call(gate=gate.name).decode(),
        stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert runtime.stdout is not None
    worker = psutil.Process(int(await within(runtime.stdout.readline())))
    await gate.arrived()
    watches = [os.pidfd_open(process.pid) for process in (worker, *worker.children(recursive=True))]
    try:
        assert not select.select(watches, [], [], 0)[0]
        runtime.kill()
        await within(runtime.wait())
        for watch in watches:
            assert select.select([watch], [], [], 20)[0]
    finally:
        for watch in watches:
            os.close(watch)
