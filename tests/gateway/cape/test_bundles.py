"""The folder of bundles: what is kept survives, what is not kept goes."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest

from blindsight.cape import ids
from blindsight.errors import CapeError
from gateway.cape import bundles as module
from gateway.cape.bundles import Bundles
from tests.support.processes import environment
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = [os.urandom(1_000_000) for _ in range(3)]

CRASHING = """
import asyncio, sys, threading
from pathlib import Path
from gateway.cape.bundles import Bundles

async def main():
    async with Bundles(Path(sys.argv[1])).receiving() as kept:
        await kept.write(b"kept")
        await kept.keep(sys.argv[2])
    async with Bundles(Path(sys.argv[1])).receiving() as upload:
        await upload.write(b"unfinished")
        print("ready", flush=True)
        threading.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "bundles"


@pytest.fixture
def bundles(folder: Path) -> Bundles:
    return Bundles(folder)


async def _keep(bundles: Bundles, content: list[bytes]) -> str:
    function_id = ids.new()
    async with bundles.receiving() as upload:
        for chunk in content:
            await upload.write(chunk)
        assert upload.size == sum(map(len, content))
        await upload.keep(function_id)
    return function_id


async def _fail(bundles: Bundles) -> None:
    async with bundles.receiving() as upload:
        await upload.write(b"x")
        raise ZeroDivisionError


async def _read(bundles: Bundles, function_id: str) -> list[bytes]:
    return [chunk async for chunk in bundles.chunks(function_id)]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _descriptors() -> int:
    return psutil.Process().num_fds()


def _crashing(folder: Path, kept: str, tmp_path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CRASHING, str(folder), kept]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(tmp_path))


def _age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


async def test_a_kept_bundle_is_read_in_chunks(bundles: Bundles, folder: Path) -> None:
    function_id = await _keep(bundles, CONTENT)
    chunks = await _read(bundles, function_id)
    assert b"".join(chunks) == b"".join(CONTENT)
    assert [len(chunk) for chunk in chunks] == [1 << 20, 1 << 20, 3_000_000 - (2 << 20)]
    assert _mode(folder) == 0o700
    assert _mode(folder / function_id) == 0o600
    assert _names(folder) == [function_id]


def test_a_folder_that_was_open_is_closed(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    Bundles(folder)
    assert _mode(folder) == 0o700


async def test_a_bundle_is_not_there_before_it_is_complete(bundles: Bundles, folder: Path) -> None:
    function_id = ids.new()
    async with bundles.receiving() as upload:
        await upload.write(b"half")
        assert function_id not in _names(folder)
        await upload.keep(function_id)
        assert await _read(bundles, function_id) == [b"half"]


async def test_keep_syncs_the_file_and_then_its_folder(
    bundles: Bundles, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    sync, rename = os.fsync, os.rename

    def recording_sync(descriptor: int) -> None:
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def recording_rename(*names: str) -> None:
        events.append("rename")
        rename(*names)

    monkeypatch.setattr(os, "fsync", recording_sync)
    monkeypatch.setattr(os, "rename", recording_rename)
    await _keep(bundles, [b"content"])
    assert events == ["file", "rename", "folder"]


async def test_what_is_not_kept_goes(bundles: Bundles, folder: Path) -> None:
    async with bundles.receiving() as upload:
        await upload.write(b"x")
    assert _names(folder) == []
    with pytest.raises(ZeroDivisionError):
        await _fail(bundles)
    assert _names(folder) == []


async def test_a_cancelled_upload_goes(bundles: Bundles, folder: Path) -> None:
    begun = asyncio.Event()

    async def upload_for_ever() -> None:
        async with bundles.receiving() as upload:
            while True:
                await upload.write(CONTENT[0])
                begun.set()

    task = asyncio.create_task(upload_for_ever())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _names(folder) == []
    # Cancelled before it begins: the file, made in a thread, must go, too.
    before = _descriptors()
    for _ in range(5):
        task = asyncio.create_task(upload_for_ever())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await asyncio.to_thread(
        wait_until,
        "all files gone and closed",
        lambda: not _names(folder) and _descriptors() <= before,
    )


async def test_kept_again_it_is_renamed(bundles: Bundles, folder: Path) -> None:
    first, second = ids.new(), ids.new()
    async with bundles.receiving() as upload:
        await upload.write(b"x")
        await upload.keep(first)
        await upload.keep(second)
    assert _names(folder) == [second]


async def test_too_much_is_refused(folder: Path) -> None:
    bundles = Bundles(folder, limit=10)
    async with bundles.receiving() as upload:
        await upload.write(b"x" * 10)
        with pytest.raises(CapeError) as caught:
            await upload.write(b"x")
    assert caught.value.code == "too_large"
    assert _names(folder) == []
    assert module.MAX_BUNDLE_BYTES == 1_000_000_000 + (1 << 20)


async def test_unknown_bundles(bundles: Bundles, folder: Path) -> None:
    (folder.parent / "secret").write_text("secret")
    for name in (ids.new(), "../secret", "", ".", "x" * 22):
        with pytest.raises(CapeError) as caught:
            await _read(bundles, name)
        assert caught.value.code == "unknown_function"
        await bundles.delete(name)
    assert (folder.parent / "secret").exists()
    async with bundles.receiving() as upload:
        with pytest.raises(ValueError, match="id"):
            await upload.keep("../secret")


async def test_deleted(bundles: Bundles, folder: Path) -> None:
    function_id = await _keep(bundles, [b"x"])
    await bundles.delete(function_id)
    await bundles.delete(function_id)
    assert _names(folder) == []


async def test_a_disk_that_refuses_is_a_busy_service(bundles: Bundles, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    async with bundles.receiving() as upload:
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(CapeError) as caught:
            await upload.write(b"x")
        monkeypatch.undo()
    assert caught.value.code == "overloaded"


async def test_a_crash_leaves_what_was_kept_and_a_sweep_removes_the_rest(
    bundles: Bundles, folder: Path, tmp_path: Path
) -> None:
    kept = ids.new()
    process = _crashing(folder, kept, tmp_path)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        # Another gateway's upload is none of ours, however old it is.
        for name in _names(folder):
            _age(folder / name, 10_000 if name != kept else 0)
        assert await bundles.sweep(set()) == 0
        assert len(_names(folder)) == 2
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
        process.stdout.close()
    assert await bundles.sweep({kept}) == 1
    assert _names(folder) == [kept]
    assert await _read(bundles, kept) == [b"kept"]


async def test_orphans_go_after_an_hour(bundles: Bundles, folder: Path) -> None:
    known, orphan, fresh = [await _keep(bundles, [b"x"]) for _ in range(3)]
    _age(folder / known, 3601)
    _age(folder / orphan, 3601)
    _age(folder / fresh, 3590)
    (folder / "README").write_text("an operator's note")
    _age(folder / "README", 10_000)
    assert await bundles.sweep({known}) == 1
    assert _names(folder) == sorted([known, fresh, "README"])


async def test_a_bundle_whose_function_is_being_stored_stays(bundles: Bundles, folder: Path) -> None:
    function_id = ids.new()
    async with bundles.receiving() as upload:
        await upload.write(b"x")
        _age(folder / _names(folder)[0], 10_000)
        await upload.keep(function_id)
        # Its age counts from `keep`; and even if the clock leaps, it is locked.
        assert time.time() - (folder / function_id).stat().st_mtime < 60
        _age(folder / function_id, 10_000)
        assert await bundles.sweep(set()) == 0
    assert _names(folder) == [function_id]


async def test_an_upload_that_a_sweep_takes_at_birth_begins_again(
    bundles: Bundles, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = module.fcntl.flock
    swept: list[str] = []

    def sweep_first(descriptor: int, operation: int) -> None:
        if not swept:
            swept.extend(_names(folder))
            (folder / swept[0]).unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(module.fcntl, "flock", sweep_first)
    function_id = await _keep(bundles, [b"x"])
    assert len(swept) == 1
    assert await _read(bundles, function_id) == [b"x"]
