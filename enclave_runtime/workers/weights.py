"""What the workers of a function share: made by the first before any image is near it, unchangeable from then on.

Weights that a worker could change would let an image that took over one worker decide what the others answer.
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
    """Make both folders anew, empty: a worker that was lost may have left something. Raises `OSError`."""
    for folder in (draft, weights):
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        folder.chmod(0o755)


def seal(draft: Path, weights: Path, *, owned: bool) -> None:
    """Take what the first worker made in `draft` into the empty `weights`, out of its reach. Raises `OSError`.

    `owned`: it has a user id of its own, so that files can be taken from it as they are; it goes on using them. A file
    that it holds open for writing, and every file of a worker without such an id, is copied, and the original counts
    for that worker alone. Anything but files and folders is left behind, and `draft` with it.
    """
    _take(draft, weights, owned=owned)
    shutil.rmtree(draft)


def _take(source: Path, target: Path, *, owned: bool) -> None:
    # From the top, and each before its content is looked at: the worker is still alive.
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
    """Make a file or folder the runtime's own."""
    descriptor = os.open(path, _FILE)
    try:
        os.fchown(descriptor, os.geteuid(), os.getegid())
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def _is_written(path: Path) -> bool:
    """Whether a process holds the file open for writing, or maps it so: then the kernel gives no lease to read it."""
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
