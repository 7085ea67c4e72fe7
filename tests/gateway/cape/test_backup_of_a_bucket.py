"""Backup, restore and `forget-accounts` of a store whose bundles are in a bucket."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

import pytest

from gateway.cape.backup.layout import BackupError
from gateway.cape.backup.make import make
from gateway.cape.backup.restore import restore
from gateway.cape.s3bundles import S3Bundles
from gateway.cape.store import Store
from tests.gateway.cape.test_backup import below, content, files_of, filled
from tests.gateway.cape.test_migrations import command
from tests.support.s3 import BUCKET, S3, running_s3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    with running_s3() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


async def moved(folder: Path, bucket: S3Bundles) -> dict[str, bytes]:
    """Keep the folder's bundles in the bucket; their content by id."""
    found = files_of(folder)
    for name, bundle in found.items():
        async with bucket.receiving() as upload:
            await upload.write(bundle)
            await upload.keep(name)
    return found


def in_bucket(s3: S3, prefix: str) -> dict[str, bytes]:
    client = s3.client()
    return {
        key.removeprefix(f"{prefix}/"): client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        for key in s3.kept()
        if key.startswith(f"{prefix}/")
    }


async def test_all_is_as_before(s3: S3, tmp_path: Path) -> None:
    """From a bucket to a bucket, and to a folder."""
    url, bucket = f"sqlite:///{tmp_path}/a.db", S3Bundles(f"s3://{BUCKET}/a")
    store, functions = await filled(url, tmp_path / "bundles")
    before, bundles = await content(store), await moved(tmp_path / "bundles", bucket)
    await store.close()
    made = await make(url, bucket, tmp_path / "backup.tar", {})
    assert (made.counts["functions"], made.missing) == (len(functions), [])
    for name, target in (("b", S3Bundles(f"s3://{BUCKET}/b")), ("c", tmp_path / "c")):
        await restore(tmp_path / "backup.tar", f"sqlite:///{tmp_path}/{name}.db", target, {})
        restored = Store(f"sqlite:///{tmp_path}/{name}.db")
        await restored.upgrade()
        assert await content(restored) == before
        await restored.close()
    assert in_bucket(s3, "b") == files_of(tmp_path / "c") == bundles
    s3.client().put_object(Bucket=BUCKET, Key="d/other", Body=b"x")
    with pytest.raises(BackupError, match="other functions"):
        await restore(tmp_path / "backup.tar", f"sqlite:///{tmp_path}/d.db", S3Bundles(f"s3://{BUCKET}/d"), {})


async def test_what_the_bucket_lacks_is_reported(s3: S3, tmp_path: Path) -> None:
    url, bucket = f"sqlite:///{tmp_path}/a.db", S3Bundles(f"s3://{BUCKET}/a")
    store, functions = await filled(url, tmp_path / "bundles")
    await moved(tmp_path / "bundles", bucket)
    await store.close()
    await bucket.delete(functions[0].id)
    s3.client().put_object(Bucket=BUCKET, Key=f"a/{functions[1].id}", Body=b"not whole")
    made = await make(url, bucket, tmp_path / "backup.tar", {})
    assert sorted(made.missing) == sorted([functions[0].id, functions[1].id])
    with tarfile.open(tmp_path / "backup.tar") as archive:
        assert [name for name in archive.getnames() if name.startswith("bundles/")] == [f"bundles/{functions[2].id}"]


async def test_the_commands_use_the_bucket(s3: S3, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    store, _ = await filled(url, tmp_path / "bundles")
    await moved(tmp_path / "bundles", S3Bundles(f"s3://{BUCKET}/a"))
    await store.close()
    where = {"bundles": f"s3://{BUCKET}/a"}
    done = command(tmp_path, url, "backup", "--out", str(tmp_path / "backup.tar"), **where)
    assert (done.returncode, done.stderr) == (0, "")
    done = command(tmp_path, url, "forget-accounts", "--yes", **where)
    assert "2 accounts and 3 functions are deleted." in done.stdout
    assert s3.kept() == []
    done = command(tmp_path, f"sqlite:///{tmp_path}/b.db", "restore", str(tmp_path / "backup.tar"), **where)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(in_bucket(s3, "a")) == 3
    assert "s3:" not in {path.name for path in below(tmp_path, "*")}


async def test_a_bucket_that_cannot_be_reached(s3: S3, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    store, _ = await filled(url, tmp_path / "bundles")
    await store.close()
    s3.process.kill()
    s3.process.wait()
    done = command(tmp_path, url, "backup", "--out", str(tmp_path / "backup.tar"), bundles=f"s3://{BUCKET}/a")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "backup.tar").exists()
