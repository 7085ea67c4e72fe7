"""Machines that are not like this one: what of the promise holds there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from enclave_runtime.confinement.layers import CGROUP, NAMESPACES
from tests.support import ordinary_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Smoke = Callable[..., dict[str, Any]]

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
REFUSED = dict.fromkeys(["file", "network", "runtime", "first", "above"], "refused")


@pytest.fixture
def smoke() -> Iterator[Smoke]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:

        def run(kind: str | None, *, user: bool = False, root: bool = False) -> dict[str, Any]:
            """`root`: functions then run as root, too."""
            program = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(REPOSITORY)!r})\n{_START}"]
            secret, built = Path(folder, "secret"), Path(folder, "built")
            secret.write_text("secret")
            Path(folder).chmod(0o755)
            built.mkdir()
            command = [*program, str(secret)]
            if kind is not None:
                command = [sys.executable, str(HERE / "surroundings.py"), kind, str(built), *command]
            if user:
                command = ordinary_user.command(*command[1:])
            elif ordinary_user.unavailable() is None:  # The interpreter is where all can find it.
                command = ordinary_user.command(*command[1:], user=0)
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd="/")
            assert done.returncode == 0, done.stderr
            told: dict[str, Any] = json.loads(done.stdout)
            assert told["left"] == []
            assert (told["reached"].pop("own"), told["reached"].pop("user") == 0) == ("x", root)
            return told

        yield run


_START = "import asyncio\nfrom tests.enclave_runtime.confinement import smoke\nasyncio.run(smoke.main())"


@pytest.fixture(autouse=True)
def _as_root(request: pytest.FixtureRequest) -> None:
    if os.geteuid():
        pytest.skip("only root can make other surroundings")


def test_a_root_directory_that_cannot_be_moved_is_covered(smoke: Smoke, warden: Any):
    """An enclave runs from the kernel's initial file system; so does a process whose root is not a mount."""
    told = smoke("no_mount_point")
    assert told["summary"]["absent"] == {}
    assert told["summary"]["gaps"] == warden.summary()["gaps"]
    assert told["reached"] == REFUSED


def test_a_container_without_privileges(smoke: Smoke):
    told = smoke("container")
    absent = told["summary"]["absent"]
    assert set(absent) >= {NAMESPACES, CGROUP}
    assert "Operation not permitted" in absent[NAMESPACES]
    assert "Read-only file system" in absent[CGROUP]
    gaps = {text.partition(":")[0] for text in told["summary"]["gaps"]}
    assert {"attributes of files outside", "bounds"} <= gaps
    assert told["reached"] == REFUSED


def test_a_container_with_the_documented_privileges(smoke: Smoke, warden: Any):
    told = smoke("privileged_container")
    assert told["summary"]["gaps"] == warden.summary()["gaps"]
    assert told["summary"]["absent"] == {}
    assert told["reached"] == REFUSED


def test_a_runtime_that_cannot_give_files_away_gives_no_user_ids(smoke: Smoke):
    told = smoke("no_change_of_owners", root=True)
    assert "user ids" in told["summary"]["absent"]
    assert "namespaces" in told["summary"]["layers"]
    assert told["reached"] == REFUSED


def test_a_read_only_root_directory(smoke: Smoke, warden: Any):
    told = smoke("read_only")
    assert told["summary"]["gaps"] == warden.summary()["gaps"]
    assert told["reached"] == REFUSED


def test_without_shared_memory(smoke: Smoke, warden: Any):
    """Private folders are then where temporary files are."""
    told = smoke("no_shared_memory")
    assert told["place"] == "/tmp"
    assert told["summary"]["gaps"] == warden.summary()["gaps"]
    assert told["reached"] == REFUSED


def test_an_ordinary_user(smoke: Smoke):
    if (reason := ordinary_user.unavailable()) is not None:
        pytest.skip(reason)
    told = smoke(None, user=True)
    assert set(told["summary"]["absent"]) == {"user ids", CGROUP}
    assert told["summary"]["gaps"] == []
    assert told["reached"] == REFUSED


def test_an_ordinary_user_who_may_not_make_namespaces(smoke: Smoke):
    if (reason := ordinary_user.unavailable()) is not None:
        pytest.skip(reason)
    told = smoke("no_namespaces", user=True)
    assert set(told["summary"]["absent"]) == {"user ids", CGROUP, NAMESPACES}
    assert told["reached"] == REFUSED
