"""Control groups: one limit on memory and tasks for a process with its children, including files in memory.

See cgroups(7). Both versions are supported, because enclaves' kernels mount either. A group of the runtime contains
them all.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from enclave_runtime import leftover
from enclave_runtime.confinement import mounted
from enclave_runtime.confinement.layers import CGROUP, LayerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from enclave_runtime.confinement.mounted import Hierarchy

_PREFIX: Final = "blindsight-"
_LEAF: Final = "blindsight-runtime"
"""Group for other processes: in version 2 only the topmost group can contain both processes and groups."""
_REMOVE_SECONDS: Final = 5.0
_REMOVE_PAUSE: Final = 0.01

_MEMORY: Final = {1: "memory.limit_in_bytes", 2: "memory.max"}
_OPTIONAL: Final[dict[int, tuple[tuple[str, str], ...]]] = {
    1: (("memory.memsw.limit_in_bytes", "{memory}"),),
    2: (("memory.swap.max", "0"), ("memory.oom.group", "1")),
}
"""Swapped memory would lie on the host's disk; version 1 counts both together. Some kernels do without."""


class Group:
    """The group of one process and its children. Its folder exists in each of the version's hierarchies."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._folders = folders

    def add(self, pid: int) -> None:
        """Move a process into it; blocks for some milliseconds. Raises `OSError`."""
        for folder in self._folders:
            (folder / "cgroup.procs").write_text(str(pid), encoding="ascii")

    def remove(self) -> None:
        """End the processes in it, and delete it. If that fails, the runtime's next start removes it."""
        until = time.monotonic() + _REMOVE_SECONDS
        for folder in self._folders:
            while not _removed(folder) and time.monotonic() < until:
                _end(folder)
                time.sleep(_REMOVE_PAUSE)


class Groups:
    """Creates groups below the runtime's own. Used in threads."""

    def __init__(self, total_bytes: int, *, proc: Path = Path("/proc")) -> None:
        """`total_bytes` limits the memory of all groups together. Raises `LayerUnavailable`."""
        self._count = 0
        refused: OSError = FileNotFoundError(errno.ENOENT, "no control groups are mounted")
        for hierarchy in mounted.hierarchies(proc / "self", root=os.geteuid() == 0):
            try:
                self._open(hierarchy, total_bytes, proc)
            except OSError as error:
                refused = error
            else:
                return
        raise LayerUnavailable(CGROUP, f"{refused.strerror}{f': {refused.filename}' if refused.filename else ''}")

    def _open(self, hierarchy: Hierarchy, total_bytes: int, proc: Path) -> None:
        self._version = hierarchy.version
        bases = tuple(dict.fromkeys(hierarchy.folders.values()))
        if self._version == 2:
            _make_room(bases[0], hierarchy)
        for base in bases:
            _remove_left_behind(base, proc)
        name = f"{_PREFIX}{leftover.tag(proc)}-{secrets.token_hex(4)}"
        self._folders = {controller: base / name for controller, base in hierarchy.folders.items()}
        try:
            for folder in dict.fromkeys(self._folders.values()):
                folder.mkdir()
                if self._version == 2:
                    _delegate(folder, tuple(self._folders))
            if self._version == 1:
                # Before Linux 5.11 a limit holds for groups below only where this is set.
                with contextlib.suppress(FileNotFoundError):
                    _write(self._folders["memory"] / "memory.use_hierarchy", "1")
            self._limit(self._folders, memory_bytes=total_bytes, tasks=None)
        except BaseException:
            self.close()
            raise

    def make(self, *, memory_bytes: int, tasks: int) -> Group:
        """Create a group with these limits. Raises `OSError`."""
        self._count += 1
        folders = {name: folder / str(self._count) for name, folder in self._folders.items()}
        group = Group(tuple(dict.fromkeys(folders.values())))
        try:
            for folder in dict.fromkeys(folders.values()):
                folder.mkdir()
            self._limit(folders, memory_bytes=memory_bytes, tasks=tasks)
        except BaseException:
            group.remove()
            raise
        return group

    def close(self) -> None:
        """Remove the runtime's group, and those below it."""
        for folder in dict.fromkeys(self._folders.values()):
            for inner in _below(folder):
                Group((inner,)).remove()
            _removed(folder)

    def _limit(self, folders: dict[str, Path], *, memory_bytes: int, tasks: int | None) -> None:
        memory = folders["memory"]
        _write(memory / _MEMORY[self._version], str(memory_bytes))
        if tasks is None:
            return
        for name, value in _OPTIONAL[self._version]:
            with contextlib.suppress(FileNotFoundError):
                _write(memory / name, value.format(memory=memory_bytes))
        if "pids" in folders:
            _write(folders["pids"] / "pids.max", str(tasks))


def _make_room(base: Path, hierarchy: Hierarchy) -> None:
    """Enable the controllers for groups below `base`. Raises `OSError`."""
    try:
        _delegate(base, tuple(hierarchy.folders))
    except OSError as error:
        if error.errno != errno.EBUSY or not hierarchy.ours:
            raise
        leaf = base / _LEAF
        leaf.mkdir(exist_ok=True)
        for pid in _processes(base):
            with contextlib.suppress(ProcessLookupError):
                _write(leaf / "cgroup.procs", str(pid))
        _delegate(base, tuple(hierarchy.folders))


def _delegate(folder: Path, controllers: tuple[str, ...]) -> None:
    control = folder / "cgroup.subtree_control"
    if not set(controllers) <= set(control.read_text(encoding="ascii").split()):
        _write(control, " ".join(f"+{name}" for name in controllers))


def _write(file: Path, value: str) -> None:
    # Not made if it is missing: then the kernel has no such control.
    descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode("ascii"))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from None
    finally:
        os.close(descriptor)


def _processes(folder: Path) -> list[int]:
    return [int(pid) for pid in (folder / "cgroup.procs").read_text(encoding="ascii").split()]


def _end(folder: Path) -> None:
    with contextlib.suppress(OSError):  # Removed meanwhile, or ended.
        for pid in _processes(folder):
            os.kill(pid, signal.SIGKILL)


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _below(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from (path for path in folder.iterdir() if path.is_dir())


def _remove_left_behind(base: Path, proc: Path) -> None:
    """Remove the groups of killed runtimes."""
    for folder in _below(base):
        tag = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if folder.name.startswith(_PREFIX) and leftover.is_gone(tag, proc):
            for group in (*_below(folder), folder):
                _removed(group)
