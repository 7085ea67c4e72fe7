"""Build the bundle from the function's source, a model directory and, on demand, vendored packages."""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blindsight.files import read, replacing
from enclave_function.bundle import archive
from enclave_function.bundle.errors import BundleError
from enclave_function.bundle.reader import MANIFEST_NAME, BundleInfo, inspect, manifest_files
from enclave_function.bundle.vendor import vendored_files

if TYPE_CHECKING:
    from enclave_function.bundle.vendor import VendorTarget

_SOURCE: Final = Path(__file__).resolve().parent.parent
_GIVE: Final = "Give --model a model directory."
_LFS_POINTER: Final = b"version https://git-lfs.github.com/spec/v1"
"""How a pointer file begins (Git LFS, docs/spec.md)."""

_MAX_FILE_BYTES: Final = 1 << 30
_log = logging.getLogger(__name__)


def build(model: Path, out: Path, *, vendor: VendorTarget | None = None) -> BundleInfo:
    """Write the bundle of the function and `model` to `out`, replacing it in one step, and inspect it.

    `model` is a model directory, or any file in one. With `vendor`, the packages for that target lie beside `app.py`;
    without, the runtime has to provide numpy, onnxruntime and Pillow. Raises `BundleError`.
    """
    files = contents(model, vendor=vendor)
    _log.info("packing %d files, %d bytes", len(files), sum(map(len, files.values())))
    try:
        with replacing(out, sources=(model if model.is_dir() else model.parent).iterdir()) as file:
            archive.write(file, files)
    except OSError as error:
        raise BundleError(
            f"{out} cannot be written: {error.strerror}.", "Check the folder and its free space."
        ) from error
    return inspect(out)


def contents(model: Path, *, vendor: VendorTarget | None = None) -> dict[str, bytes]:
    """The files of the bundle, by their names in it. Raises `BundleError`."""
    files = _function_files()
    parts = [_model_files(model)]
    if vendor is not None:
        parts.append(vendored_files(vendor))
    for part in parts:
        if clash := sorted(files.keys() & part.keys()):
            raise BundleError(f"Two parts of the bundle have a file {clash[0]}.", "Rename the one that may change.")
        files |= part
    return files


def _function_files() -> dict[str, bytes]:
    sources = [_SOURCE / "app.py", *(_SOURCE / "photo_classifier").glob("*.py")]
    return {path.relative_to(_SOURCE).as_posix(): _read(path) for path in sources}


def _model_files(model: Path) -> dict[str, bytes]:
    """`model.json` and the files it names, each of which must have the digest it gives."""
    try:
        folder = model if stat.S_ISDIR(model.stat().st_mode) else model.parent
    except OSError as error:
        raise BundleError(f"{model} cannot be read: {error.strerror}.", _GIVE) from error
    if folder != model and not os.path.lexists(folder / MANIFEST_NAME):
        raise BundleError(
            f"{model} is in no model directory: there is no {MANIFEST_NAME} beside it.",
            "Use `blindsight bundle build`, which imports an ONNX file.",
        )
    encoded = _read(folder / MANIFEST_NAME)
    named = manifest_files(encoded)
    onnx, labels = named
    if folder != model and model.name not in {MANIFEST_NAME, *named}:
        raise BundleError(
            f"{MANIFEST_NAME} beside {model.name} is the manifest of {onnx}.", "Move one of them to another folder."
        )
    files = {MANIFEST_NAME: encoded} | {name: _read(folder / name) for name in named}
    steps = {
        onnx: f"Put the right file back, or remove {MANIFEST_NAME} if it is another model now.",
        labels: "Put the right file back, or write the manifest anew: "
        f"`python -m model_build build --onnx {shlex.quote(str(folder / onnx))} --out {shlex.quote(str(folder))}`.",
    }
    for name, sha256 in named.items():
        if hashlib.sha256(files[name]).hexdigest() != sha256:
            raise BundleError(f"{name} does not have the SHA-256 that {MANIFEST_NAME} gives.", steps[name])
    return files


def _read(path: Path) -> bytes:
    try:
        if path.is_symlink():
            raise BundleError(f"{path} is a symbolic link.", "Put the file itself in its place.")
        content = read(path, _MAX_FILE_BYTES)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}.", _GIVE) from error
    if content.startswith(_LFS_POINTER):
        raise BundleError(f"{path} is a Git LFS pointer, not the file.", "Fetch the file with `git lfs pull`.")
    return content
