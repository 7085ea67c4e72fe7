"""Unpacking untrusted zip archives into private folders in memory."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final

from enclave_runtime import leftover

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ENTRIES: Final = 20_000
MAX_DIRECTORY_BYTES: Final = 8 * 1024 * 1024
"""Of an archive's file table: about 400 bytes per file. It must be parsed as a whole before the files can be
counted."""
MAX_UNPACKED_BYTES: Final = 1_000_000_000
"""Largest function, unpacked: Cape's own limit for a deployment."""

CHUNK: Final = 1 << 20
PREFIX: Final = "blindsight-function-"
"""Prefix of the private folders' names; the runtime's tag follows."""


class BadBundle(Exception):
    """The bundle is not the requested one, or not safe to unpack."""


def memory() -> Path | None:
    """The system's memory file system; None, which means the default folder for temporary files, if there is none."""
    shm = Path("/dev/shm")  # noqa: S108 -- only fresh, private files and folders are made inside
    return shm if shm.is_dir() else None


def private_folder() -> Path:
    """A new folder in memory that only this user can list. Also removes folders of killed runtimes."""
    _remove_left_behind()
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{leftover.tag()}-", dir=memory()))
    # Passed through by processes with user ids of their own, to what they know of.
    folder.chmod(0o711)
    return folder


def unguessable(folder: Path) -> Path:
    """A new folder with a random name inside one that others cannot list, so that they cannot find it."""
    inner = folder / secrets.token_hex(16)
    inner.mkdir()
    inner.chmod(0o711)
    return inner


@contextlib.contextmanager
def opened(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """Open the archive in `file`. Raises `BadBundle`, also for read errors inside the context."""
    try:
        with zipfile.ZipFile(_Reader(file)) as archive:
            yield archive
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, OverflowError) as error:
        raise BadBundle(f"the bundle cannot be read: {str(error) or type(error).__name__}") from error
    except RuntimeError as error:  # `zipfile` says so of encryption, and of versions that it does not know.
        raise BadBundle("the bundle is encrypted or of an unknown zip version") from error


class _Reader:
    """A file wrapper for `zipfile`, which limits the size of the file table, the only part that is read as a whole."""

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self._read = file.seek, file.tell, file.read

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if size > MAX_DIRECTORY_BYTES:
            raise BadBundle("the bundle has too many files, or too long names")
        # Without a size it reads the archive's last few bytes.
        return self._read(MAX_DIRECTORY_BYTES if size < 0 else size)


def check(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The entries of an archive that can be unpacked, judged by its file table. Raises `BadBundle`."""
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES or sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
        raise BadBundle("the bundle has too many files or too many bytes")
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names):
        raise BadBundle("the bundle has two files of one name")
    for entry in entries:
        _check_entry(entry)
    return entries


def unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    """Unpack into the empty `folder`. Raises `BadBundle`; the caller then removes the folder."""
    for entry in check(archive):
        if entry.is_dir():
            continue
        target = folder / PurePosixPath(entry.filename)
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(entry) as source, target.open("xb") as sink:
            shutil.copyfileobj(source, sink, CHUNK)


def _check_entry(entry: zipfile.ZipInfo) -> None:
    if not entry.filename:  # Also what `zipfile` leaves of a name that begins with a null byte.
        raise BadBundle("the bundle has a file with no name")
    path = PurePosixPath(entry.filename)
    mode = entry.external_attr >> 16
    if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or (mode and stat.S_ISLNK(mode)):
        raise BadBundle("the bundle has a file whose name leaves its folder, or a link")
    # `zipfile` gives no more than an entry announces, but of bzip2 and LZMA it unpacks whole chunks first: a bomb.
    if not entry.is_dir() and entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise BadBundle("the bundle has a file that is neither stored nor deflated")


def _remove_left_behind() -> None:
    """Remove the folders of killed runtimes, which occupy 100 MB of memory each."""
    for place in (memory() or Path(tempfile.gettempdir())).glob(f"{PREFIX}*"):
        if leftover.is_gone(place.name.removeprefix(PREFIX).partition("-")[0]):
            shutil.rmtree(place, ignore_errors=True)
