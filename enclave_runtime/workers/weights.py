"""The files that a function's workers share. The first worker makes them before any image; then they are read-only.

If a worker could change the weights, an image that takes over one worker could control the answers of all others.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def make_draft(draft: Path, weights: Path) -> None:
    """Replace both folders by empty ones, because a lost worker may have left files. Raises `OSError`."""
    for folder in (draft, weights):
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        folder.chmod(0o755)


def seal(draft: Path, weights: Path, *, owned: bool) -> None:
    """Move the files that the first worker made in `draft` into the empty folder `weights`, and remove `draft`.

    `owned`: the worker has a user id of its own, so that a change of owner and mode makes files read-only for it, while
    it continues to use them. Files that the worker has open for writing, and all files of a worker without such an id,
    are copied instead. Entries that are neither files nor folders are dropped. Raises `OSError`.
    """
    _take(draft, weights, owned=owned)
    shutil.rmtree(draft)


def _take(source: Path, target: Path, *, owned: bool) -> None:
    # From the top, and each folder before its content is listed, because the worker still runs.
    if owned:
        _close(source, 0o755)
    for entry in sorted(os.scandir(source), key=lambda each: each.name):
        place = target / entry.name
        if entry.is_dir(follow_symlinks=False):
            place.mkdir()
            place.chmod(0o755)
            _take(Path(entry.path), place, owned=owned)
        elif entry.is_file(follow_symlinks=False):
            _take_file(Path(entry.path), place, owned=owned)


def _take_file(source: Path, target: Path, *, owned: bool) -> None:
    if owned:
        _close(source, 0o444)
        if not _is_written(source):
            source.rename(target)
            return
    descriptor = os.open(source, _FILE)
    with os.fdopen(descriptor, "rb") as original, target.open("xb") as copy:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            shutil.copyfileobj(original, copy, 1 << 20)
    target.chmod(0o444)


def _close(path: Path, mode: int) -> None:
    """Make the runtime the owner of a file or folder, with this mode."""
    descriptor = os.open(path, _FILE)
    try:
        os.fchown(descriptor, os.geteuid(), os.getegid())
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _is_written(path: Path) -> bool:
    """Whether a process has the file open or mapped for writing: then the kernel refuses a read lease, fcntl(2)."""
    descriptor = os.open(path, _FILE)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            return True
        raise
    else:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    finally:
        os.close(descriptor)
