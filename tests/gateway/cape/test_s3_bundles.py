"""The bucket of bundles: what is kept can be read by every gateway, what is not kept goes."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from blindsight.cape import ids
from blindsight.errors import CapeError
from gateway.cape import administration
from gateway.cape import s3bundles as module
from gateway.cape.s3bundles import S3Bundles
from gateway.cape.stored import Stored
from tests.gateway.cape.test_backup import filled
from tests.support.s3 import BUCKET, S3, running_s3
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIZES = {"empty": 0, "small": 1000, "one part": 8 << 20, "three parts": (20 << 20) + 17}


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with running_s3() as server:
        yield server


@pytest.fixture
def s3(server: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    yield server
    client = server.client()
    for key in server.kept():
        client.delete_object(Bucket=BUCKET, Key=key)
    for each in client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []):
        client.abort_multipart_upload(Bucket=BUCKET, Key=each["Key"], UploadId=each["UploadId"])


@pytest.fixture
def bundles(s3: S3) -> S3Bundles:
    return S3Bundles(f"s3://{BUCKET}/a/prefix")


async def kept(bundles: S3Bundles, content: bytes, *names: str) -> str:
    """Keep it as each of these, one after the other; the last."""
    names = names or (ids.new(),)
    async with bundles.receiving() as upload:
        for start in range(0, len(content), 1 << 20):
            await upload.write(content[start : start + (1 << 20)])
        for name in names:
            await upload.keep(name)
    return names[-1]


async def read(bundles: S3Bundles, name: str) -> bytes:
    return b"".join([chunk async for chunk in bundles.chunks(name)])


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
async def test_what_is_kept_is_read_whole_elsewhere(s3: S3, bundles: S3Bundles, size: int):
    content = os.urandom(size)
    name = await kept(bundles, content)
    assert await read(S3Bundles(f"s3://{BUCKET}/a/prefix/"), name) == content
    assert s3.kept() == [f"a/prefix/{name}"]
    with pytest.raises(CapeError) as error:
        await read(S3Bundles(f"s3://{BUCKET}"), name)
    assert error.value.code == "unknown_function"


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
async def test_keeping_again_renames(s3: S3, bundles: S3Bundles, size: int):
    content = os.urandom(size)
    first, second = ids.new(), ids.new()
    await kept(bundles, content, first, second)
    assert await read(bundles, second) == content
    assert s3.kept() == [f"a/prefix/{second}"]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
async def test_what_is_not_kept_goes(s3: S3, bundles: S3Bundles, size: int):
    async with bundles.receiving() as upload:
        await upload.write(bytes(size))
    assert s3.kept() == []


async def test_a_cancelled_upload_goes(s3: S3, bundles: S3Bundles):
    async def uploading() -> None:
        async with bundles.receiving() as upload:
            await upload.write(bytes(9 << 20))
            await asyncio.Event().wait()

    task = asyncio.create_task(uploading())
    await asyncio.to_thread(wait_until, "the first part is there", s3.kept)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert s3.kept() == []


async def test_too_much_is_refused(s3: S3):
    bundles = S3Bundles(f"s3://{BUCKET}", limit=10)
    async with bundles.receiving() as upload:
        with pytest.raises(CapeError) as error:
            await upload.write(bytes(11))
    assert error.value.code == "too_large"


@pytest.mark.parametrize("name", ["", "../x", "uploads/x", "7edeD2pEQ96Ct94M57A2Zh"])
async def test_what_is_not_there(bundles: S3Bundles, name: str):
    with pytest.raises(CapeError) as error:
        await read(bundles, name)
    assert error.value.code == "unknown_function"
    await bundles.delete(name)


async def test_a_deleted_bundle_is_gone(s3: S3, bundles: S3Bundles):
    await bundles.delete(await kept(bundles, b"x"))
    assert s3.kept() == []


async def test_what_a_crash_left_is_swept_when_it_is_old(s3: S3, bundles: S3Bundles, monkeypatch: pytest.MonkeyPatch):
    known, orphan = await kept(bundles, b"known"), await kept(bundles, b"orphan")
    client = s3.client()
    client.put_object(Bucket=BUCKET, Key="a/prefix/uploads/0", Body=b"complete")
    client.put_object(Bucket=BUCKET, Key="a/prefix/notes.txt", Body=b"of others")
    client.put_object(Bucket=BUCKET, Key="b/uploads/0", Body=b"of others")
    assert await bundles.sweep({known}) == 0, "they may belong to a gateway that is at work"
    # This server says of all of them that they are years old.
    client.create_multipart_upload(Bucket=BUCKET, Key="a/prefix/uploads/1")

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) + timedelta(days=2)

    monkeypatch.setattr(module, "datetime", Later)
    assert await bundles.sweep({known}) == 3
    assert s3.kept() == ["a/prefix/" + name for name in sorted([known, "notes.txt"])] + ["b/uploads/0"]
    assert orphan not in str(s3.kept())


async def test_a_bucket_that_is_not_there_is_said_without_secrets(s3: S3, caplog: pytest.LogCaptureFixture):
    bundles = S3Bundles("s3://another-bucket")
    with pytest.raises(CapeError) as error:
        await kept(bundles, b"x")
    assert error.value.code == "overloaded"
    assert await bundles.sweep(set()) == 0
    assert {record.reason for record in caplog.records} == {"NoSuchBucket"}
    assert "canary" not in caplog.text


async def test_a_service_that_is_gone_or_stalled(s3: S3, monkeypatch: pytest.MonkeyPatch):
    """Each request ends in time, and the next one after its return succeeds."""
    monkeypatch.setattr(module, "_CONFIG", module._CONFIG.merge(module.Config(read_timeout=1, connect_timeout=1)))
    bundles = S3Bundles(f"s3://{BUCKET}")
    name = await kept(bundles, b"before")
    os.kill(s3.process.pid, signal.SIGSTOP)
    try:
        for attempt in (read(bundles, name), kept(bundles, b"x"), bundles.delete(ids.new())):
            async with asyncio.timeout(30):
                with pytest.raises(CapeError) as error:
                    await attempt
            assert error.value.code == "overloaded"
    finally:
        os.kill(s3.process.pid, signal.SIGCONT)
    assert await read(bundles, name) == b"before"


async def test_forgotten_accounts_leave_nothing_in_the_bucket(s3: S3, bundles: S3Bundles, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    store, functions = await filled(url, tmp_path / "elsewhere")
    for function in functions:
        await kept(bundles, b"content", function.id)
    stored = Stored(database=url, bundles=f"s3://{BUCKET}/a/prefix")
    assert await administration._forget_accounts(stored, ["Ada"], yes=True) == 0
    assert s3.kept() == [f"a/prefix/{functions[2].id}"]
    await store.close()


async def test_a_stalled_service_takes_no_thread_of_others(s3: S3, monkeypatch: pytest.MonkeyPatch):
    """The database and the files that the gateway follows need threads, too."""
    monkeypatch.setattr(module, "_CONFIG", module._CONFIG.merge(module.Config(read_timeout=2, connect_timeout=2)))
    bundles = S3Bundles(f"s3://{BUCKET}")
    os.kill(s3.process.pid, signal.SIGSTOP)
    reading = [asyncio.create_task(read(bundles, ids.new())) for _ in range(32)]
    try:
        await asyncio.sleep(0.5)
        async with asyncio.timeout(1):
            assert await asyncio.to_thread(lambda: "another") == "another"
    finally:
        os.kill(s3.process.pid, signal.SIGCONT)
        await asyncio.gather(*reading, return_exceptions=True)


async def test_leaving_a_stalled_body_does_not_stop_the_loop(bundles: S3Bundles, monkeypatch: pytest.MonkeyPatch):
    """Closing the body waits for the read in its thread, and the loop must not."""

    class Body:
        def __init__(self) -> None:
            self.lock, self.reading = threading.Lock(), threading.Event()

        def read(self, _: int) -> bytes:
            with self.lock:
                self.reading.set()
                time.sleep(1)
            return b""

        def close(self) -> None:
            with self.lock:
                pass

    body = Body()
    monkeypatch.setattr(bundles, "_get", lambda _: body)
    task = asyncio.create_task(read(bundles, ids.new()))
    await asyncio.to_thread(body.reading.wait, 5)
    began = time.monotonic()
    task.cancel()
    await asyncio.sleep(0.05)
    assert time.monotonic() - began < 0.5
    await asyncio.gather(task, return_exceptions=True)
