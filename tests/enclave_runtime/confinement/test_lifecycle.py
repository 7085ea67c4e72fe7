"""Confined processes from start to end: what stands around them, how they end, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from blindsight.errors import CapeError
from enclave_runtime import archive
from enclave_runtime.cape.process import HandlerLimits, HandlerProcess
from enclave_runtime.confinement.layers import Layers
from enclave_runtime.confinement.users import Users
from enclave_runtime.confinement.warden import Warden
from tests.enclave_runtime.cape import handler_sources as sources
from tests.enclave_runtime.cape.handler_sources import ReversingRpc, within
from tests.enclave_runtime.workers.fake_function import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Start = Callable[..., Awaitable[HandlerProcess]]

MEBIBYTE = 1 << 20


@pytest.fixture
async def start(warden: Warden, tmp_path: Path) -> AsyncIterator[Start]:
    async with contextlib.AsyncExitStack() as stack:
        code = sources.write(tmp_path, sources.PROBE)

        async def start(by: Warden = warden, **limits: Any) -> HandlerProcess:
            starting = HandlerProcess.start(code, warden=by, limits=HandlerLimits(**limits), rpc=ReversingRpc())
            process = await within(starting)
            stack.push_async_callback(process.close)
            return process

        yield start


@pytest.fixture
def namespaces(warden: Warden) -> None:
    if not warden.layers.namespaces:
        pytest.skip("no namespaces here")


async def run(process: HandlerProcess, source: str) -> bytes:
    return await within(process.call(source.encode()))


async def status_after(process: HandlerProcess, source: str) -> int:
    """The exit status that the runtime sees after `source` has ended the process."""
    with pytest.raises(CapeError, check=lambda error: error.code == "function_lost"):
        await run(process, source)
    return await within(process._process.wait())


def status_of(pid: int) -> dict[str, str]:
    return dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines())


async def test_the_function_is_not_the_first_process_of_its_namespace(namespaces: None, start: Start):
    process = await start()
    assert await run(process, "result = (os.getpid() > 1, os.getppid())") == b"(True, 1)"


@pytest.mark.parametrize(
    ("source", "status"),
    [
        ("os.abort()", -signal.SIGABRT),
        ("os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("os.kill(os.getpid(), 15)", -signal.SIGTERM),
        ("import signal; signal.alarm(1); signal.pause()", -signal.SIGALRM),
        ("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV),
        ("import ctypes, faulthandler; faulthandler.enable(); ctypes.string_at(0)", -signal.SIGSEGV),
        ("os._exit(41)", 41),
    ],
)
async def test_it_ends_as_any_process_does(start: Start, source: str, status: int):
    assert await status_after(await start(), source) == status


async def test_those_whose_parents_have_ended_are_reaped(namespaces: None, start: Start):
    """Zombies count against the limit on tasks."""
    process = await start()
    source = """
import time
orphans = []
for _ in range(5):
    reading, writing = os.pipe()
    if not (parent := os.fork()):
        if not os.fork():
            os.write(writing, b"%d" % os.getpid())
        os._exit(0)
    os.waitpid(parent, 0)
    orphans.append(int(os.read(reading, 9)))
deadline = time.monotonic() + 10
while any(os.path.exists(f"/proc/{orphan}") for orphan in orphans) and time.monotonic() < deadline:
    os.sched_yield()
result = [os.path.exists(f"/proc/{orphan}") for orphan in orphans]
"""
    assert await run(process, source) == b"[False, False, False, False, False]"


async def test_who_waits_for_it_takes_little_memory(namespaces: None, start: Start):
    process = await start()
    outside = psutil.Process(process.pid)
    inside, function = outside.children(recursive=True)
    assert function.memory_full_info().uss > 0
    # Nearly all that they have, they share with one another and with the function.
    waiting = [each.memory_full_info() for each in (outside, inside)]
    assert sum(each.uss for each in waiting) < 8 * MEBIBYTE
    assert sum(each.pss for each in waiting) < 16 * MEBIBYTE


async def test_who_waits_for_it_has_no_privileges_inside(namespaces: None, start: Start):
    process = await start()
    (inside,) = psutil.Process(process.pid).children()
    status = status_of(inside.pid)
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"
    if os.geteuid() == 0:
        assert int(status["Uid"].split()[1]) >= 61_184
        assert int(status["CapBnd"], 16) == 0
    for attempt in ("os.kill(1, 9); open('/proc/1/mem')", "os.listdir('/proc/1/fd')", "open('/proc/1/environ')"):
        with pytest.raises(CapeError, match="PermissionError"):
            await run(process, attempt)
    assert await run(process, "result = 1") == b"1"


async def test_many_are_started_at_once(warden: Warden, start: Start):
    # Stacks that tests share may run beside this one.
    before = set(psutil.Process().children(recursive=True))
    processes = await asyncio.gather(*(start() for _ in range(12)))
    users = [await run(process, "result = os.getuid()") for process in processes]
    assert len(set(users)) == (12 if warden.layers.ids else 1)
    await asyncio.gather(*(within(process.close()) for process in processes))
    assert set(psutil.Process().children(recursive=True)) <= before
    if warden.groups is not None:
        assert [path for folder in warden.groups._folders.values() for path in folder.iterdir() if path.is_dir()] == []
    assert warden.users._taken == {}


async def test_one_that_leaves_its_session_is_ended_too(warden: Warden, start: Start):
    """Where neither a process namespace nor the filter keeps it."""
    if warden.groups is None:
        pytest.skip("no control groups here")
    process = await start(by=replace(warden, layers=Layers(cgroup=True)))
    leaving = "import subprocess; result = subprocess.Popen(['/bin/sleep', '1000'], start_new_session=True).pid"
    left = int(await run(process, leaving))
    watch = os.pidfd_open(left)
    try:
        await within(process.close())
        await eventually(lambda: not psutil.pid_exists(left) or psutil.Process(left).status() == "zombie")
    finally:
        os.close(watch)


def test_user_ids_are_taken_once_by_anybody():
    one, other = Users(70_000, 3), Users(70_000, 3)
    taken = [one.take(), one.take(), other.take()]
    assert sorted(taken) == [70_000, 70_001, 70_002]
    for users in (one, other):
        with pytest.raises(OSError, match="no user id is free"):
            users.take()
    one.give_back(taken[0])
    assert other.take() == taken[0]
    for users in (one, other):
        for user in list(users._taken):
            users.give_back(user)


async def test_without_a_free_user_id_no_process_is_started(warden: Warden, start: Start):
    if not warden.layers.ids:
        pytest.skip("no user ids here")
    one = replace(warden, users=Users(70_010, 1))
    first = await start(by=one)
    with pytest.raises(CapeError, check=lambda error: error.code == "overloaded"):
        await start(by=one)
    await within(first.close())
    assert await run(await start(by=one), "result = os.getuid()") == b"70010"


RUNTIME = """
import asyncio, json, sys
from pathlib import Path
from enclave_runtime import archive
from enclave_runtime.cape.process import HandlerLimits, HandlerProcess
from enclave_runtime.confinement.warden import Warden

async def main():
    warden = Warden.appoint(total_bytes=1 << 32)
    place = archive.private_folder()
    code = place / "function"
    code.mkdir()
    (code / "app.py").write_text("def cape_handler(data):\\n    while True: pass\\n")
    process = await HandlerProcess.start(code, warden=warden, limits=HandlerLimits(), rpc=None)
    groups = [str(folder) for folder in warden.groups._folders.values()] if warden.groups else []
    print(json.dumps({"pid": process.pid, "place": str(place), "groups": groups}), flush=True)
    await process.call(b"")

asyncio.run(main())
"""


def test_what_a_killed_runtime_leaves_is_removed_by_the_next():
    command = [sys.executable, "-c", RUNTIME]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as runtime:
        assert runtime.stdout is not None
        told = json.loads(runtime.stdout.readline())
        outside = psutil.Process(told["pid"])
        processes = [outside, *outside.children(recursive=True)]
        runtime.kill()
    gone, alive = psutil.wait_procs(processes, timeout=20)
    assert (len(gone), alive) == (len(processes), [])
    assert told["place"] not in Path("/proc/self/mountinfo").read_text()
    Warden.appoint(total_bytes=1 << 30).close()
    archive.shutil.rmtree(archive.private_folder())
    assert [path for path in (told["place"], *told["groups"]) if Path(path).exists()] == []
