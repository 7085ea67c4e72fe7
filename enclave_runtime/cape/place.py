"""Where one process of a function lives: its working folder, and the socket beside it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

SOCKET: Final = "rpc.sock"

_MAX_COPIED_BYTES = 256 * 1024
"""Larger files are links to the function's own, which the sandbox lets nobody write: memory is what they are in."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Place:
    """A fresh private folder. Its name cannot be guessed: a kernel may let functions connect to any socket's path."""

    def __init__(self, parent: Path, name: str) -> None:
        """`name` is the working folder's. Raises `OSError`."""
        self.folder = parent / f"run-{secrets.token_hex(16)}"
        self.folder.mkdir(mode=0o700)
        self.working = self.folder / (name if name not in {"", SOCKET} else "function")

    def fill(self, code: Path, *, link: bool) -> None:
        """Make the working folder from `code`; with `link`, large files are not copied. Raises `OSError`."""
        for folder, _, files in os.walk(code):
            target = self.working / os.path.relpath(folder, code)
            target.mkdir(exist_ok=True)
            for name in files:
                _place(code / folder / name, target / name, link=link)

    def remove(self) -> None:
        """Delete the folder and all in it, after its process has ended.

        Functions can nest folders deeper than recursion, open files and paths go: this has one folder open at a time.
        """
        with contextlib.suppress(OSError):  # Whoever deletes the function may delete this, too.
            here = os.open(self.folder, _FOLDER)
            try:
                levels = [_delete_files(here)]
                while True:
                    if levels[-1]:
                        here = _step(here, levels[-1][-1])
                        levels.append(_delete_files(here))
                        continue
                    levels.pop()
                    if not levels:
                        break
                    here = _step(here, "..")
                    os.rmdir(levels[-1].pop(), dir_fd=here)
            finally:
                os.close(here)
            self.folder.rmdir()


def _delete_files(folder: int) -> list[str]:
    """Delete the files in the open `folder`; returns the names of its folders."""
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.name, 0o700, dir_fd=folder)
                folders.append(entry.name)
            else:
                os.unlink(entry.name, dir_fd=folder)
    return folders


def _step(folder: int, name: str) -> int:
    """Open the folder `name` in the open `folder`, and close that."""
    entered = os.open(name, _FOLDER, dir_fd=folder)
    os.close(folder)
    return entered


def _place(source: Path, target: Path, *, link: bool) -> None:
    status = source.stat()
    if link and status.st_size > _MAX_COPIED_BYTES:
        target.symlink_to(source.absolute())
        return
    shutil.copyfile(source, target)
    # Archives keep no modes, and the sandbox lets none be set: what looks like a program can be run.
    target.chmod(stat.S_IRWXU)
    # Compiled modules are valid only for sources of the same time.
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
