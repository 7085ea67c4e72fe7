"""Reading and writing of files that a user names: with a size limit, and atomically.

A path can lead to an endless device, to a pipe without a writer, or to a file larger than memory. A written file must
not replace a device, a link, or a file that the same command reads, such as a private key.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import BufferedRandom, BufferedReader


def read(path: Path, limit: int) -> bytes:
    """Read the regular file at `path`, at most `limit` bytes.

    Raises `OSError`: with EFBIG if it is larger, with EINVAL if it is not a regular file.
    """
    with opened(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit} bytes", str(path))
    return content


def opened(path: Path) -> BufferedReader:
    """Open the regular file at `path` for reading. Raises `OSError`, EINVAL if it is not a regular file.

    Does not wait for the other end of a pipe.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def require_replaceable(out: Path, *, sources: Iterable[Path | None] = ()) -> None:
    """Raise `OSError` unless `out` is a regular file or does not exist, and its folder is writable.

    EINVAL also if `out` is one of the `sources`, under any name.
    """
    if out.is_symlink() or (out.exists() and not out.is_file()):
        kind = errno.EISDIR if out.is_dir() else errno.EINVAL
        text = os.strerror(errno.EISDIR) if kind == errno.EISDIR else "it is not a regular file"
        raise OSError(kind, text, str(out))
    if out.exists() and any(source is not None and source.exists() and out.samefile(source) for source in sources):
        raise OSError(errno.EINVAL, "it is read, too; give another file", str(out))
    folder = out.resolve().parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None  # It names the temporary file.


def write(out: Path, content: bytes, *, mode: int = 0o644, sources: Iterable[Path | None] = ()) -> None:
    """Write `content` to `out` atomically. Raises `OSError` as `replacing` does."""
    with replacing(out, mode=mode, sources=sources) as file:
        file.write(content)


@contextmanager
def replacing(out: Path, *, mode: int = 0o644, sources: Iterable[Path | None] = ()) -> Iterator[BufferedRandom]:
    """Yield a draft beside `out` that replaces it when the block ends, and is removed if the block fails.

    Raises `OSError`: EINVAL if `out` is not a regular file, or is a link, or is one of the `sources`, the files that
    the command reads.
    """
    require_replaceable(out, sources=sources)
    descriptor, draft = tempfile.mkstemp(dir=out.resolve().parent, prefix=f".{out.name}.")
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(draft).chmod(mode)
        Path(draft).replace(out)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
