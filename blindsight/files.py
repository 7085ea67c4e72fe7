"""Files that a user names: read within a bound, written whole or not at all.

A path may lead to a device that never ends, to a pipe that nothing writes, or to a file larger than memory; and what is
written must not take the place of a device, of a link, or of a file that the same command reads, such as a private key.
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
    """The content of the regular file at `path`, at most `limit` bytes.

    Raises `OSError`: with EFBIG for more, with EINVAL for what is no regular file.
    """
    with opened(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit} bytes", str(path))
    return content


def opened(path: Path) -> BufferedReader:
    """The regular file at `path`, open to be read. Raises `OSError`, EINVAL for what is no regular file.

    Nothing waits for the other end of a pipe.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def require_replaceable(out: Path, *, sources: Iterable[Path | None] = ()) -> None:
    """Raises `OSError` unless `out` is a regular file, or nothing is there, and its folder may be written to.

    EINVAL, too, where `out` is one of the `sources`, by whichever name.
    """
    if out.is_symlink() or (out.exists() and not out.is_file()):
        kind = errno.EISDIR if out.is_dir() else errno.EINVAL
        text = os.strerror(errno.EISDIR) if kind == errno.EISDIR else "it is no regular file"
        raise OSError(kind, text, str(out))
    if out.exists() and any(source is not None and source.exists() and out.samefile(source) for source in sources):
        raise OSError(errno.EINVAL, "it is read, too; give another file", str(out))
    with tempfile.TemporaryFile(dir=out.resolve().parent):
        pass


def write(out: Path, content: bytes, *, mode: int = 0o644, sources: Iterable[Path | None] = ()) -> None:
    """Write `content` to `out`, replacing it in one step. Raises `OSError` as `replacing` does."""
    with replacing(out, mode=mode, sources=sources) as file:
        file.write(content)


@contextmanager
def replacing(out: Path, *, mode: int = 0o644, sources: Iterable[Path | None] = ()) -> Iterator[BufferedRandom]:
    """A draft beside `out` that takes its place when the block ends, and is removed if it fails.

    Raises `OSError`: EINVAL where something else than a regular file has the name, a link included, and where `out` is
    one of the `sources`, the files that are read for it.
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
