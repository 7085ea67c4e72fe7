"""What a bundle is: its checksum, contents and model, read without unpacking it to disk or running any of it."""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

import rfc8785

from blindsight import files, strict_json
from enclave_function.bundle import archive
from enclave_function.bundle.errors import BundleError

if TYPE_CHECKING:
    from pathlib import Path

HANDLER_NAME: Final = "app.py"
MANIFEST_NAME: Final = "model.json"
_BLOCK_BYTES: Final = 1 << 20
_REBUILD: Final = "Make the model directory anew with `python -m model_build build`, and then the bundle."


@dataclass(frozen=True)
class Entry:
    """One file of a bundle; `sha256` in hexadecimal."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ModelInfo:
    """The bundle's model; `digest` is the SHA-256, in hexadecimal, of its canonical manifest (RFC 8785)."""

    name: str
    version: str
    trained: bool
    digest: str


@dataclass(frozen=True)
class BundleInfo:
    """A bundle. `checksum` is the function checksum: SHA-256 of the whole file, in hexadecimal."""

    checksum: str
    bytes: int
    model: ModelInfo
    vendored: tuple[str, ...]
    """Packages beside `app.py`, such as `numpy 2.4.6`; empty for a slim bundle."""
    entries: tuple[Entry, ...]


def inspect(path: Path) -> BundleInfo:
    """Read the bundle at `path`; its model files must be those its manifest names. Raises `BundleError`."""
    try:
        with files.opened(path) as file:
            checksum, size = _digest(file)
            with zipfile.ZipFile(file) as opened:
                return _inspect(opened, checksum, size)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, OverflowError, zlib.error) as error:
        raise BundleError(f"{path} is damaged or not a zip file.", _REBUILD) from error


def _inspect(opened: zipfile.ZipFile, checksum: str, size: int) -> BundleInfo:
    entries: list[Entry] = []
    for info in archive.entries(opened):
        with opened.open(info) as content:
            sha256, length = _digest(content)
        entries.append(Entry(info.filename, length, sha256))
    by_name = {entry.name: entry for entry in entries}
    for name in (HANDLER_NAME, MANIFEST_NAME):
        if name not in by_name:
            raise BundleError(f"The bundle has no {name} at its root.", _REBUILD)
    model = _model(opened.read(MANIFEST_NAME), by_name)
    return BundleInfo(checksum, size, model, _vendored(by_name), tuple(entries))


def manifest_files(encoded: bytes) -> dict[str, str]:
    """Names and SHA-256, in hexadecimal, of the two files that a `model.json` names: graph, labels.

    Raises `BundleError`, also where it does not say which model it is and whether that is trained.
    """
    try:
        manifest = strict_json.loads(encoded)
        if not all(isinstance(manifest[part], str) for part in ("name", "version")):
            raise TypeError("name and version are text")
        trained = manifest["trained"]
        files = {str(manifest[part]["file"]): str(manifest[part]["sha256"]) for part in ("onnx", "labels")}
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{MANIFEST_NAME} is not a model manifest.", _REBUILD) from error
    if len(files) != 2 or any("/" in name for name in files):
        raise BundleError(f"{MANIFEST_NAME} does not name two files beside it.", _REBUILD)
    if not isinstance(trained, bool):
        raise BundleError(f"{MANIFEST_NAME} does not say with true or false whether the model is trained.", _REBUILD)
    return files


def _model(encoded: bytes, entries: dict[str, Entry]) -> ModelInfo:
    for name, sha256 in manifest_files(encoded).items():
        if name not in entries or entries[name].sha256 != sha256:
            raise BundleError(f"{name} does not have the SHA-256 that {MANIFEST_NAME} gives.", _REBUILD)
    manifest = strict_json.loads(encoded)
    try:
        digest = hashlib.sha256(rfc8785.dumps(manifest)).hexdigest()
        return ModelInfo(manifest["name"], manifest["version"], manifest["trained"], digest)
    except rfc8785.CanonicalizationError as error:
        raise BundleError(f"{MANIFEST_NAME} is not a model manifest.", _REBUILD) from error


def _vendored(names: dict[str, Entry]) -> tuple[str, ...]:
    found = (re.fullmatch(r"([^/]+)-([^/-]+)\.dist-info/METADATA", name) for name in names)
    return tuple(sorted(f"{match[1]} {match[2]}" for match in found if match))


def _digest(file: IO[bytes]) -> tuple[str, int]:
    digest, length = hashlib.sha256(), 0
    while block := file.read(_BLOCK_BYTES):
        digest.update(block)
        length += len(block)
    return digest.hexdigest(), length
