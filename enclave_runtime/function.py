"""The function bundle: checked, unpacked for the workers, and named in the evidence."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import rfc8785

from blindsight import strict_json
from enclave_runtime import archive as archives
from enclave_runtime.archive import BadBundle

if TYPE_CHECKING:
    import zipfile
    from pathlib import Path

_NEEDED = {"name", "version", "trained"}
"""Members of the manifest that the runtime itself tells callers."""


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

    @property
    def longest_label(self) -> int:
        """Bytes, in JSON, of the model's longest label: answers are padded so that none shows."""
        labels = (self.folder / str(self.manifest["labels"]["file"])).read_text("utf-8").split("\n")
        return max(len(json.dumps(label)) for label in labels)

    def remove(self) -> None:
        """Delete the unpacked files."""
        shutil.rmtree(self.folder.parent, ignore_errors=True)


def load(bundle: Path, *, expected: bytes | None = None) -> Function:
    """Check and unpack `bundle` into a private folder, in memory where the system has a memory file system.

    Raises `BadBundle` if it is not the bundle with checksum `expected`, or is not safe to unpack.
    """
    try:
        with bundle.open("rb") as file, tempfile.TemporaryFile(dir=archives.memory()) as copy:
            # The host may change the file at any time: what is unpacked is the private copy that was measured.
            found = _copy_and_digest(file, copy)
            if expected is not None and found != expected:
                raise BadBundle(f"the bundle's checksum is {found.hex()}, not {expected.hex()}")
            with archives.opened(copy) as archive:
                return _unpack(archive, found)
    except OSError as error:
        raise BadBundle(f"the bundle cannot be read: {str(error) or type(error).__name__}") from error


def _copy_and_digest(source: IO[bytes], sink: IO[bytes]) -> bytes:
    digest, left = hashlib.sha256(), archives.MAX_UNPACKED_BYTES
    while chunk := source.read(archives.CHUNK):
        left -= len(chunk)
        if left < 0:
            raise BadBundle("the bundle has too many bytes")
        digest.update(chunk)
        sink.write(chunk)
    return digest.digest()


def _unpack(archive: zipfile.ZipFile, found: bytes) -> Function:
    archives.check(archive)
    place = archives.private_folder()
    folder, shared = place / "function", place / "shared"
    try:
        folder.mkdir()
        shared.mkdir()
        archives.unpack(archive, folder)
        return Function(folder, shared, found, *_manifest(folder / "model.json"))
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _manifest(path: Path) -> tuple[dict[str, Any], bytes]:
    try:
        manifest = strict_json.loads(path.read_bytes())
        canonical = rfc8785.dumps(manifest)
    except FileNotFoundError as error:
        raise BadBundle("the bundle has no model.json") from error
    except ValueError as error:
        raise BadBundle("the bundle's model.json is not plain JSON") from error
    if not isinstance(manifest, dict) or not manifest.keys() >= _NEEDED:
        raise BadBundle("the bundle's model.json is not a model's manifest")
    return manifest, canonical
