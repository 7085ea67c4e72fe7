"""The function bundle: checked, unpacked for the workers, and named in the evidence."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

import rfc8785

MAX_ENTRIES: Final = 20_000
MAX_UNPACKED_BYTES: Final = 1_000_000_000
"""Largest function, unpacked: Cape's own limit for a deployment."""

_CHUNK = 1 << 20
_PREFIX = "blindsight-function-"
"""Of the private folders' names; the runtime's process id follows."""
_NEEDED = {"name", "version", "trained"}
"""Members of the manifest that the runtime itself tells callers."""


class BadBundle(Exception):  # noqa: N818
    """The bundle is not what was asked for, or not safe to unpack."""


@dataclass(frozen=True)
class Function:
    """A function ready to run: its unpacked `folder`, an empty one for what its workers share, its checksum (SHA-256 of
    the zip) and its model's manifest."""

    folder: Path
    shared: Path
    checksum: bytes
    manifest: dict[str, Any]
    canonical_manifest: bytes

    @property
    def model_digest(self) -> bytes:
        """SHA-256 of the canonical manifest."""
        return hashlib.sha256(self.canonical_manifest).digest()

    def remove(self) -> None:
        """Delete the unpacked files."""
        shutil.rmtree(self.folder.parent, ignore_errors=True)


def load(bundle: Path, *, expected: bytes | None = None) -> Function:
    """Check and unpack `bundle` into a private folder, in memory where the system has a memory file system.

    Raises `BadBundle` if it is not the bundle with checksum `expected`, or is not safe to unpack.
    """
    shm = Path("/dev/shm")  # noqa: S108 -- only fresh, private files and folders are made inside
    memory = shm if shm.is_dir() else None
    try:
        with bundle.open("rb") as file, tempfile.TemporaryFile(dir=memory) as copy:
            # The host may change the file at any time: what is unpacked is the private copy that was measured.
            found = _copy_and_digest(file, copy)
            if expected is not None and found != expected:
                raise BadBundle(f"the bundle's checksum is {found.hex()}, not {expected.hex()}")
            with zipfile.ZipFile(copy) as archive:
                return _unpack(archive, found, memory)
    except (OSError, zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise BadBundle(f"the bundle cannot be read: {str(error) or type(error).__name__}") from error
    except RuntimeError as error:  # `zipfile` says so of encryption, and of versions that it does not know.
        raise BadBundle("the bundle is encrypted or of an unknown zip version") from error


def _copy_and_digest(source: IO[bytes], sink: IO[bytes]) -> bytes:
    digest, left = hashlib.sha256(), MAX_UNPACKED_BYTES
    while chunk := source.read(_CHUNK):
        left -= len(chunk)
        if left < 0:
            raise BadBundle("the bundle has too many bytes")
        digest.update(chunk)
        sink.write(chunk)
    return digest.digest()


def _remove_left_behind(memory: Path | None) -> None:
    """Remove the folders of runtimes that were killed: 100 MB of memory each that nobody else would give back."""
    for place in (memory or Path(tempfile.gettempdir())).glob(f"{_PREFIX}*"):
        pid = place.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdecimal() and not Path("/proc", pid).exists():
            shutil.rmtree(place, ignore_errors=True)


def _unpack(archive: zipfile.ZipFile, found: bytes, memory: Path | None) -> Function:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES or sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
        raise BadBundle("the bundle has too many files or too many bytes")
    names = [entry.filename for entry in entries]
    if len(set(names)) != len(names):
        raise BadBundle("the bundle has two files of one name")
    _remove_left_behind(memory)
    place = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=memory))
    folder, shared = place / "function", place / "shared"
    try:
        folder.mkdir()
        shared.mkdir()
        for entry in entries:
            _unpack_entry(archive, entry, folder)
        return Function(folder, shared, found, *_manifest(folder / "model.json"))
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _manifest(path: Path) -> tuple[dict[str, Any], bytes]:
    try:
        manifest = json.loads(path.read_bytes())
        canonical = rfc8785.dumps(manifest)
    except FileNotFoundError as error:
        raise BadBundle("the bundle has no model.json") from error
    except (ValueError, RecursionError) as error:
        raise BadBundle("the bundle's model.json is not plain JSON") from error
    if not isinstance(manifest, dict) or not manifest.keys() >= _NEEDED:
        raise BadBundle("the bundle's model.json is not a model's manifest")
    return manifest, canonical


def _unpack_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    path = PurePosixPath(entry.filename)
    mode = entry.external_attr >> 16
    if path.is_absolute() or ".." in path.parts or "\\" in entry.filename or (mode and stat.S_ISLNK(mode)):
        raise BadBundle("the bundle has a file whose name leaves its folder, or a link")
    if entry.is_dir():
        return
    # `zipfile` gives no more than an entry announces, but of bzip2 and LZMA it unpacks whole chunks first: a bomb.
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise BadBundle("the bundle has a file that is neither stored nor deflated")
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, target.open("xb") as sink:
        shutil.copyfileobj(source, sink, _CHUNK)
