"""What the workers of a function share cannot be changed by any of them."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from enclave_runtime.workers import weights
from enclave_runtime.workers.pool import PoolLimits, WorkerPool
from tests.enclave_runtime.workers import fake_function
from tests.enclave_runtime.workers.fake_function import call, eventually, within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from enclave_runtime.confinement.warden import Warden

HOSTILE = """
import json, mmap, os
from pathlib import Path

shared = Path(os.environ["BLINDSIGHT_SHARED_WEIGHTS"])
first = not (shared / "model").exists()
if first:
    (shared / "below").mkdir()
    for name in ("model", "kept open", "mapped", "below/deep"):
        (shared / name).write_text("genuine")
    for link, target in ((os.symlink, "/etc/passwd"), (os.link, shared / "model")):
        try:
            link(target, shared / f"by {link.__name__}")
        except PermissionError:
            pass
    kept = (shared / "kept open").open("r+")
    with (shared / "mapped").open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 7)
    folder = os.open(shared, os.O_RDONLY)
model = (shared / "model").open("rb")


def _kept_open():
    kept.seek(0)
    kept.write("changed")
    kept.flush()


def _mapped():
    mapped[:] = b"changed"
    mapped.flush()


def _again():
    return os.open(f"/proc/self/fd/{model.fileno()}", os.O_RDWR)


ATTEMPTS = {
    "write": lambda: (shared / "model").write_text("changed"),
    "write below": lambda: (shared / "below" / "deep").write_text("changed"),
    "append": lambda: (shared / "model").open("a"),
    "cut": lambda: os.truncate(shared / "model", 0),
    "mode": lambda: (os.chmod(shared / "model", 0o666), (shared / "model").write_text("changed")),
    "remove": lambda: (shared / "model").unlink(),
    "replace": lambda: os.rename(shared / "by link", shared / "model"),
    "make": lambda: (shared / "new").touch(),
    "make below": lambda: (shared / "below" / "new").touch(),
    "link": lambda: os.link(shared / "model", "another"),
    "reopen": _again,
    "hard link": lambda: open(shared / "by link", "r+"),
    "folder": lambda: os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=folder)),
    "kept open": _kept_open,
    "mapped": _mapped,
}


def classify(data, *, top_k, threads):
    ended = {}
    for name, attempt in ATTEMPTS.items():
        try:
            attempt()
        except (OSError, NameError, ValueError) as error:
            ended[name] = type(error).__name__
        else:
            ended[name] = "done"
    names = [] if first else ["model", "kept open", "mapped", "below/deep"]  # What it made was taken away.
    seen = {name: (shared / name).read_text() for name in names}
    return {"ended": ended, "seen": seen, "first": first, "names": sorted(os.listdir(shared)) if names else []}
"""
GENUINE = dict.fromkeys(("model", "kept open", "mapped", "below/deep"), "genuine")


@contextlib.asynccontextmanager
async def pool_of_two(warden: Warden, folder: Path) -> AsyncIterator[WorkerPool]:
    function = fake_function.write(folder, HOSTILE)
    async with WorkerPool(function, warden, PoolLimits(workers=2, processors=1)) as pool:
        await within(pool.wait_started())
        await eventually(lambda: pool.alive == 2)
        yield pool


async def answers(pool: WorkerPool) -> dict[bool, dict[str, Any]]:
    """What the first worker answers, and what the other does."""
    found: dict[bool, dict[str, Any]] = {}
    while len(found) < 2:
        answer = await within(pool.classify(call(), 5))
        found[answer["first"]] = answer
        # Last in, first out: the other one is next.
        pool._idle.rotate()
    return found


@pytest.mark.parametrize("layers", ["all", "without user ids", "without namespaces"])
async def test_no_worker_changes_them_not_even_the_one_that_made_them(warden: Warden, tmp_path: Path, layers: str):
    if layers == "without user ids":
        warden = replace(warden, layers=replace(warden.layers, ids=False))
    if layers == "without namespaces":
        # Then the interpreter, which may be root's alone, has to be found by the runtime's own user.
        without = replace(warden.layers, namespaces=False, user_namespace=False, ids=False)
        warden = replace(warden, layers=without)
    async with pool_of_two(warden, tmp_path) as pool:
        before = await answers(pool)
        after = await answers(pool)
    # The first one may go on with originals that count for itself alone.
    assert before[False]["seen"] == after[False]["seen"] == GENUINE
    # Links that lead elsewhere are left behind.
    assert {*before[False]["names"]} - {"by link"} == {name.split("/")[0] for name in GENUINE}
    assert "done" not in before[False]["ended"].values()
    sealed = tmp_path / "weights"
    assert {name: (sealed / name).read_text() for name in GENUINE} == GENUINE
    assert {path.stat().st_mode & 0o222 for path in sealed.rglob("*") if path.is_file()} == {0}
    assert {path.stat().st_uid for path in (sealed, *sealed.rglob("*"))} == {os.geteuid()}


@pytest.mark.skipif(os.geteuid() != 0, reason="takes files from another user")
def test_files_that_nobody_writes_are_taken_as_they_are(tmp_path: Path):
    """Weights are large: in memory once, not twice."""
    draft, sealed = tmp_path / "draft", tmp_path / "weights"
    weights.make_draft(draft, sealed)
    (draft / "quiet").write_text("quiet")
    (draft / "busy").write_text("busy")
    inode = (draft / "quiet").stat().st_ino
    with (draft / "busy").open("r+") as busy:
        weights.seal(draft, sealed, owned=True)
        busy.write("changed")
        busy.flush()
        assert (sealed / "busy").read_text() == "busy"
    assert (sealed / "quiet").stat().st_ino == inode
    assert not draft.exists()


async def test_a_first_worker_that_is_lost_leaves_the_next_a_clean_draft(tmp_path: Path, warden: Warden):
    source = (
        fake_function.SOURCE
        + """
shared = Path(os.environ["BLINDSIGHT_SHARED_WEIGHTS"])
assert not os.listdir(shared), "not empty"
(shared / "half").write_text("half")
if Path("lose").exists():
    os._exit(3)
"""
    )
    function = fake_function.write(tmp_path, source)
    (function.folder / "lose").touch()
    async with WorkerPool(function, warden, PoolLimits(workers=1, processors=1)) as pool:
        await eventually((tmp_path / "draft" / "half").exists)
        (function.folder / "lose").unlink()
        await within(pool.wait_started())
        assert pool.broken is None
    assert (tmp_path / "weights" / "half").read_text() == "half"
