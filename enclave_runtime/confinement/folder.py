"""The working folder of a confined process: the process creates and fills it, the runtime removes it."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

COPIED_FILE_BYTES: Final = 256 * 1024
"""Larger files are links to the function's own, which is read-only, because copies would take memory."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def fill(working: Path, code: Path | None) -> None:
    """Create `working`, from `code` if given. Raises `OSError`."""
    working.mkdir(mode=0o700)
    if code is not None:
        for folder, _, files in os.walk(code):
            target = working / os.path.relpath(folder, code)
            target.mkdir(exist_ok=True, mode=0o700)
            for name in files:
                _place(code / folder / name, target / name)


def give(place: Path, user: int) -> None:
    """Make the user the owner of the folder and its contents. Raises `OSError`."""
    # From the bottom: without CAP_DAC_OVERRIDE, what lies in another's private folder is out of reach.
    for folder, _, files in os.walk(place, topdown=False):
        for path in (*(os.path.join(folder, name) for name in files), folder):  # noqa: PTH118 -- many, and hot
            os.chown(path, user, user, follow_symlinks=False)


def remove(place: Path) -> None:
    """Delete the folder and its contents, after its process has ended.

    Functions can nest folders deeper than the limits for recursion, open files and paths: this keeps only one folder
    open.
    """
    with contextlib.suppress(OSError):  # The function's own folder may be removed at the same time, with this in it.
        here = os.open(place, _FOLDER)
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
        place.rmdir()


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


def _place(source: Path, target: Path) -> None:
    status = source.lstat()
    if not stat.S_ISREG(status.st_mode):
        return
    if status.st_size > COPIED_FILE_BYTES:
        target.symlink_to(source.absolute())
        return
    shutil.copyfile(source, target)
    # Archives keep no modes: what looks like a program can be run.
    target.chmod(stat.S_IRWXU)
    # Compiled modules are valid only for sources of the same time.
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
