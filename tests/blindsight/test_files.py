"""Files that a user names: what is read is bounded, and what is written takes the place of regular files only."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from blindsight import files


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    assert files.read(tmp_path / "file", 5) == b"12345"


def test_what_has_more_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(OSError, match="more than 5 bytes") as caught:
        files.read(tmp_path / "sparse", 5)
    assert caught.value.errno == errno.EFBIG


def test_a_device_a_pipe_or_a_folder_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (Path("/dev/zero"), tmp_path / "pipe", tmp_path):
        with pytest.raises(OSError, match=r"not a regular file|directory"):
            files.read(path, 5)


def test_a_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with files.replacing(tmp_path / "file") as draft:
        draft.write(b"new")
        assert (tmp_path / "file").read_bytes() == b"old"
    assert (tmp_path / "file").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_fails_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    draft = files.replacing(tmp_path / "file")
    draft.__enter__().write(b"new")
    assert draft.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None) is not True
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"file": b"old"}


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder"])
def test_nothing_but_a_file_is_replaced(tmp_path: Path, kind: str) -> None:
    out, target = tmp_path / "out", tmp_path / "target"
    match kind:
        case "link":
            target.write_bytes(b"target")
            out.symlink_to(target)
        case "dangling link":
            out.symlink_to(target)
        case "pipe":
            os.mkfifo(out)
        case _:
            out.mkdir()
    before = out.lstat()
    with pytest.raises(OSError, match=r"not a regular file|directory"), files.replacing(out) as draft:
        draft.write(b"new")
    assert out.lstat().st_ino == before.st_ino
    assert not target.exists() or target.read_bytes() == b"target"
