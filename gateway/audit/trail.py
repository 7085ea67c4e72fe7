"""The file of an audit log: JSON lines, each with the SHA-256 of the whole line before.

A line is appended under a lock of the file (flock), so that commands and gateways can share it, and is on the disk
(fsync) before `append` returns. The chain shows edited, removed and reordered lines. It cannot keep a program that can
write the file from writing all of it anew: for that, keep the digest of a line elsewhere.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import stat
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PREVIOUS: Final = "previous"
"""The member with the digest of the line before."""
FIRST: Final = "0" * 64
"""Its value where there is no line before."""
INTERRUPTED: Final = "audit.interrupted"
"""The act of a line that follows incomplete ones, which a crash or a full disk has left."""
INCOMPLETE: Final = "incomplete_sha256"
"""Its member with the digest of these lines."""

_MODE: Final = 0o600
_TAIL_BYTES: Final = 64 << 10
_MOST_TAIL_BYTES: Final = 4 << 20
"""The last whole line is within the last bytes of the file, because `verify` accepts lines of a mebibyte."""


def digest(line: bytes) -> str:
    """SHA-256 of a line without its end, in hexadecimal."""
    return hashlib.sha256(line).hexdigest()


def entry_of(line: bytes) -> dict[str, Any] | None:
    """The entry of a line without its end; None if it is none, as an incomplete one."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and {"time", "act", PREVIOUS} <= entry.keys() else None


class Trail:
    """Appends to the file at `path`, from any thread. Follows when the file is moved or replaced."""

    def __init__(self, path: Path) -> None:
        """Raises `OSError` if the file cannot be opened, EINVAL if it is not a regular file, or a large one without
        entries at its end.
        """
        self._path = path
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._end = -1
        """The size of the file when its last line was known here."""
        self._last = FIRST
        self._is_unended = False
        self._incomplete: bytes | None = None
        """What follows the last whole line."""
        with self._lock:
            descriptor = self._open()
            try:
                self._look(descriptor, os.fstat(descriptor).st_size)
            except OSError:
                self._close()
                raise

    def append(self, entry: Mapping[str, Any], *, time: str) -> str:
        """Append one line; returns its digest. Raises `OSError`; the file then has no part of it, if possible.

        `time`: when, for the line that follows an incomplete one.
        """
        with self._lock:
            while True:
                descriptor = self._current()
                with _locked(descriptor):
                    # If it was rotated before the lock was free, the next file continues what it had then.
                    if self._is_at_path(descriptor):
                        return self._append(descriptor, entry, time)

    def reopen(self) -> None:
        """Follow now if the file was moved or replaced. Raises `OSError`."""
        with self._lock:
            self._current()

    def close(self) -> None:
        with self._lock:
            self._close()

    def _append(self, descriptor: int, entry: Mapping[str, Any], time: str) -> str:
        size = os.fstat(descriptor).st_size
        if size != self._end:
            self._look(descriptor, size)
        lines = [b""] if self._is_unended else []
        last = self._last
        if self._incomplete is not None:
            lines.append(
                _line({"time": time, "act": INTERRUPTED, INCOMPLETE: digest(self._incomplete), PREVIOUS: last})
            )
            last = digest(lines[-1])
        lines.append(_line({**entry, PREVIOUS: last}))
        content = b"\n".join(lines) + b"\n"
        try:
            _write(descriptor, content)
            os.fsync(descriptor)
        except OSError:
            self._end = -1
            # Impossible for an append-only file (chattr +a). Then the next line says that this one is incomplete.
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, size)
            raise
        self._end = size + len(content)
        self._last = digest(lines[-1])
        self._is_unended, self._incomplete = False, None
        return self._last

    def _look(self, descriptor: int, size: int) -> None:
        """Find the last whole line. A new file continues the chain of the one before it, if this process had that
        open.
        """
        self._is_unended, self._incomplete = False, None
        length = 0
        last = -1
        kept: list[bytes] = []
        while last < 0 and length < size:
            if length >= _MOST_TAIL_BYTES:
                raise OSError(errno.EINVAL, "its last lines are no entries", str(self._path))
            length = min(size, max(_TAIL_BYTES, 2 * length))
            *kept, rest = os.pread(descriptor, length, size - length).split(b"\n")
            self._is_unended = bool(rest)
            kept += [rest] if rest else []
            # The beginning of the first one may be missing.
            first = 0 if length == size else 1
            last = next((at for at in range(len(kept) - 1, first - 1, -1) if entry_of(kept[at]) is not None), -1)
        if last >= 0:
            self._last = digest(kept[last])
        if incomplete := kept[last + 1 :]:
            self._incomplete = b"\n".join(incomplete)

    def _current(self) -> int:
        """The open file, anew if another one is at its path."""
        if self._descriptor is not None:
            if self._is_at_path(self._descriptor):
                return self._descriptor
            self._leave(self._descriptor)
        return self._open()

    def _is_at_path(self, descriptor: int) -> bool:
        mine = os.fstat(descriptor)
        try:
            there = self._path.stat(follow_symlinks=False)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)

    def _leave(self, descriptor: int) -> None:
        """Close a file that was rotated, after its last line, which another process may have written."""
        with contextlib.suppress(OSError), _locked(descriptor):
            size = os.fstat(descriptor).st_size
            if size != self._end:
                self._look(descriptor, size)
        self._close()

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self._path, flags, _MODE)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is not a regular file", str(self._path))
        self._end = -1
        self._descriptor = descriptor
        return descriptor

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@contextlib.contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode()


def _write(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
