"""Storage of encrypted functions, one file each, in a folder that several gateways can share.

<function id>                 a function: complete and synced
.upload-<pid>-<random>        an upload; locked (flock) while its gateway runs and works on it
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import threading
import time
from typing import TYPE_CHECKING, Final

from blindsight.cape import ids
from blindsight.cape.constants import MAX_FUNCTION_BYTES
from blindsight.errors import CapeError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Set
    from io import FileIO
    from pathlib import Path


_log = logging.getLogger("gateway.bundles")

CHUNK_BYTES: Final = 1024 * 1024
ENVELOPE_ROOM: Final = 1024 * 1024
"""Upper bound for what prefix, wrapped key and tag add to a function, bytes."""
MAX_BUNDLE_BYTES: Final = MAX_FUNCTION_BYTES + ENVELOPE_ROOM
ORPHAN_SECONDS: Final = 3600.0
"""Minimum age for removing a file without a function, whose function may be about to be stored."""

_UNFINISHED: Final = ".upload-"


class Upload:
    """A bundle during upload, created by `Bundles.receiving`. `size`: bytes so far."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        # A cancelled caller leaves its thread running: nothing may close the file under it.
        self._lock = threading.Lock()
        self._path, self._descriptor = _create(folder)
        self._open = True
        self.size = 0

    async def write(self, chunk: bytes) -> None:
        """Append `chunk`. Raises `CapeError` (`too_large`; `overloaded` if the disk refuses)."""
        if self.size + len(chunk) > self._limit:
            raise CapeError("too_large", f"deployment exceeds size limit of {MAX_FUNCTION_BYTES} bytes")
        self.size += len(chunk)
        await asyncio.to_thread(self._write, chunk)

    def _write(self, chunk: bytes) -> None:
        with self._lock, _disk():
            rest = memoryview(chunk)
            while rest and self._open:
                rest = rest[os.write(self._descriptor, rest) :]

    async def keep(self, function_id: str) -> None:
        """Make this the bundle of `function_id`, durably. Raises `CapeError` (`overloaded` if the disk refuses).

        Calling it again renames the bundle. It stays locked until the block of `receiving` ends, so that no sweep
        removes it.
        """
        if not ids.is_id(function_id):
            raise ValueError("not a function's id")
        await asyncio.to_thread(self._keep, function_id)

    def _keep(self, function_id: str) -> None:
        with self._lock, _disk():
            if not self._open:
                return
            # An orphan's age counts from here, however long the upload took.
            os.utime(self._descriptor)
            os.fsync(self._descriptor)
            kept = self._folder / function_id
            self._path.rename(kept)
            self._path = kept
            _sync_folder(self._folder)

    def close(self) -> None:
        """End the upload, in a thread; removes the file unless it was kept."""
        with self._lock:
            self._open = False
            # Removed while it is locked still: once it is free, its name might be another's.
            try:
                if self._path.name.startswith(_UNFINISHED):
                    self._path.unlink(missing_ok=True)
            finally:
                os.close(self._descriptor)


class Bundles:
    """The folder of bundles. All file operations run in threads."""

    def __init__(self, folder: Path, *, limit: int = MAX_BUNDLE_BYTES) -> None:
        """Creates `folder` (mode 0700) if it does not exist. `limit`: maximum size of a bundle, bytes."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._folder = folder
        self._limit = limit

    @contextlib.asynccontextmanager
    async def receiving(self) -> AsyncIterator[Upload]:
        """An upload, which is removed unless `keep` is called within the block.

        Raises `CapeError` (`overloaded` if the disk refuses).
        """
        making = asyncio.ensure_future(asyncio.to_thread(Upload, self._folder, self._limit))
        try:
            with _disk():
                upload = await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(_abandon)
            raise
        try:
            yield upload
        finally:
            # Shielded: a second cancellation must not leave the file behind.
            with _disk():
                await asyncio.shield(asyncio.to_thread(upload.close))

    async def chunks(self, function_id: str) -> AsyncIterator[bytes]:
        """The bundle in pieces of a mebibyte. Raises `CapeError` (`unknown_function`; `overloaded`)."""
        if not ids.is_id(function_id):
            raise missing()
        with _disk():
            try:
                file = await asyncio.to_thread((self._folder / function_id).open, "rb", buffering=0)
            except FileNotFoundError as error:
                raise missing() from error
        with file:
            offset = 0
            while True:
                with _disk():
                    chunk = await asyncio.to_thread(_read, file, offset)
                if not chunk:
                    return
                offset += len(chunk)
                yield chunk

    async def delete(self, function_id: str) -> None:
        """Remove a bundle, if it exists."""
        if ids.is_id(function_id):
            with _disk():
                await asyncio.to_thread((self._folder / function_id).unlink, missing_ok=True)

    async def sweep(self, known_ids: Set[str]) -> int:
        """Remove files left by a crash: unfinished uploads and, after an hour, bundles without a function. Returns
        their number.

        Files that another gateway works on are locked and stay. Read `known_ids` before the call.
        """
        return await asyncio.to_thread(self._sweep, known_ids)

    def _sweep(self, known_ids: Set[str]) -> int:
        removed = 0
        for path in self._folder.iterdir():
            unfinished = path.name.startswith(_UNFINISHED)
            orphaned = ids.is_id(path.name) and path.name not in known_ids
            if (unfinished or orphaned) and _remove_unlocked(path, 0 if unfinished else ORPHAN_SECONDS):
                removed += 1
        return removed


def _abandon(making: asyncio.Future[Upload]) -> None:
    if not making.cancelled() and making.exception() is None:
        making.result().close()


def _read(file: FileIO, offset: int) -> bytes:
    # At an offset: if the caller is cancelled and closes the file, this must not read from a socket in its place.
    return os.pread(file.fileno(), CHUNK_BYTES, offset)


def _create(folder: Path) -> tuple[Path, int]:
    """Create an empty, locked file."""
    while True:
        path = folder / f"{_UNFINISHED}{os.getpid()}-{secrets.token_hex(8)}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                return path, descriptor
        except BlockingIOError:
            pass
        except OSError:
            path.unlink(missing_ok=True)
            os.close(descriptor)
            raise
        os.close(descriptor)  # Another gateway's sweep came between making and locking it.


def _remove_unlocked(path: Path, seconds: float) -> bool:
    """Remove a file that is not locked and was not changed for `seconds`; returns whether it did."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False  # Finished, or removed by another sweep.
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if time.time() - os.fstat(descriptor).st_mtime < seconds:
            return False
        path.unlink()
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _log.error("bundle store failed", extra={"exception": type(error).__name__, "reason": error.strerror})
        raise CapeError("overloaded", "the service cannot store or read the function now") from error


def missing() -> CapeError:
    """The error for a bundle that does not exist."""
    return CapeError("unknown_function", "there is no such function")
