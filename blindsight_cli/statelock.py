"""One stack in one state folder: policy, bundle, keys and logs there are that stack's.

The lock is the kernel's (flock(2)) on the file `lock` in the folder, for as long as `blindsight up` runs: a killed
process leaves none behind. The file holds the process's number, for those who find it locked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blindsight_cli import ports
from blindsight_cli.console import fail

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK: Final = "lock"
_OWN: Final = frozenset({"cape", "enclave", "function.zip", "gateway", "policy.json", "tls"})
"""What a running stack reads again at a restart of one of its processes, or its clients read."""


@contextlib.contextmanager
def alone_in(state: Path) -> Iterator[None]:
    """Make the folder `state` if it is missing, and hold its lock. Exits with one line if that cannot be."""
    elsewhere = "choose another folder, as in `make run STATE=~/blindsight`"
    if state.exists() and not state.is_dir():
        fail(f"{state} is a file, and the state of the stack needs a folder", elsewhere)
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (state / _LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        fail(f"{state} cannot be the folder of the stack's state: {error.strerror}", elsewhere)
    with contextlib.closing(lock):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
        except BlockingIOError:
            require_none(state)
            fail(f"another stack uses {state}", elsewhere)
        except OSError as error:
            fail(f"{state} cannot be the folder of the stack's state: {error.strerror}", elsewhere)
        yield


def require_none(state: Path, *, next_step: str = "") -> None:
    """Exit with one line if a stack runs in the folder `state`. The default of `next_step` is for another stack."""
    if process := holder(state):
        elsewhere = f"as in `make run STATE=.blindsight-2 {ports.others()}`"
        fail(
            f"another stack uses {state} (process {process})",
            next_step or f"stop it, or choose another folder and other ports, {elsewhere}",
        )


def require_not_of(state: Path, out: Path) -> None:
    """Exit with one line if `out`, which is to be written, is in the place of a file that the folder `state` keeps."""
    place = out.parent.resolve() / out.name  # a link is replaced, not what it leads to
    if place.is_relative_to(state.resolve()) and place.relative_to(state.resolve()).parts[0] in _OWN:
        fail(f"{out} is a file of the stack in {state}, which would lose it", "write to another place")


def require_not_in_use(out: Path) -> None:
    """Exit with one line if `out`, which is to be written, is a running stack's."""
    out = Path(os.path.abspath(out))  # noqa: PTH100 -- a link is replaced, not what it leads to
    for state in out.parents:
        if out.relative_to(state).parts[0] in _OWN and (process := holder(state)):
            fail(
                f"{out} is of the stack that runs in {state} (process {process})",
                "stop that stack first, or write to another place",
            )


def holder(state: Path) -> str | None:
    """The number of the process that has the folder, as text; None if there is none."""
    try:
        lock = (state / _LOCK).open(encoding="utf-8")
    except OSError:
        return None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return lock.read(20).strip() or "unknown"
    return None
