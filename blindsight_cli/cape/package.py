"""The archive of a deployment: a reproducible zip of a folder, or an existing zip file."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import zipfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from blindsight.cape.constants import MAX_FUNCTION_BYTES
from blindsight_cli.cape.console import CliError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Package:
    """A zip archive in `file`, at its start; `size` in bytes, `checksum` its SHA-256."""

    name: str
    file: IO[bytes]
    size: int
    checksum: bytes


@contextmanager
def package(text: str) -> Iterator[Package]:
    """The archive of what `text` names, while the block lasts. Raises `CliError`."""
    if not text:
        raise CliError("unable to read function directory or file: the path is empty")
    # Resolved, because the folder's own name prefixes every entry, and "." has none.
    path = Path(text).resolve()
    with ExitStack() as stack:
        try:
            file = stack.enter_context(_open(text, path, path.stat().st_mode))
            checksum, size = hashlib.sha256(), 0
            while block := file.read(1 << 16):
                checksum.update(block)
                size += len(block)
            file.seek(0)
        except OSError as error:
            named = text if error.filename in (None, str(path)) else error.filename
            reason = (error.strerror or "unreadable").lower()
            raise CliError(f"unable to read function directory or file: open {named}: {reason}") from error
        yield Package(path.name.partition(".")[0], file, size, checksum.digest())


@contextmanager
def _open(text: str, path: Path, mode: int) -> Iterator[IO[bytes]]:
    if stat.S_ISDIR(mode):
        with tempfile.TemporaryFile() as file:
            _zip(text, path, file)
            yield file
        return
    if path.suffix != ".zip" or not stat.S_ISREG(mode):
        raise _not_a_package(text)
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise _not_a_package(text) from error
        _check_size(max(unpacked, path.stat().st_size))
        file.seek(0)
        yield file


def _zip(text: str, folder: Path, file: IO[bytes]) -> None:
    files = list(_walk(folder))
    if not files:
        raise CliError("please pass in a non-empty directory: EOF")
    _check_size(sum(path.stat().st_size for path in files))
    with zipfile.ZipFile(file, "w") as archive:
        for path in files:
            # Without time and mode, so that the same content is the same archive, on every machine.
            entry = zipfile.ZipInfo(f"{folder.name}/{path.relative_to(folder).as_posix()}")
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.file_size = path.stat().st_size
            try:
                with path.open("rb") as source, archive.open(entry, "w") as target:
                    shutil.copyfileobj(source, target, 1 << 16)
            except UnicodeEncodeError as error:
                raise CliError(f"unable to read function directory or file: a name in {text} is not UTF-8") from error
    file.seek(0)


def _walk(folder: Path) -> Iterator[Path]:
    """Every file below `folder`, each folder's entries in the order of their names' bytes."""
    for path in sorted(folder.iterdir(), key=lambda path: os.fsencode(path.name)):
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            if path.is_symlink():
                raise CliError(f"unable to read function directory or file: read {path}: is a link to a directory")
            yield from _walk(path)
        elif stat.S_ISREG(mode):
            yield path
        else:
            # Opening a pipe or a device could wait for ever.
            raise CliError(f"unable to read function directory or file: read {path}: is not a file")


def _check_size(size: int) -> None:
    if size > MAX_FUNCTION_BYTES:
        raise CliError(f"deployment ({size} bytes) exceeds size limit of {MAX_FUNCTION_BYTES} bytes")


def _not_a_package(text: str) -> CliError:
    return CliError(f"expected argument {text} to be a zip file or directory")
