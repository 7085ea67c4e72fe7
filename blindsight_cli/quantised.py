"""The int8 variant of a model, built once and kept in the state folder."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING, Any, Final

from blindsight import files, strict_json
from blindsight.answers import precision as precision_of
from blindsight_cli import buildenv, units
from blindsight_cli.console import err, fail
from blindsight_cli.modelpath import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_KEPT: Final = 4
"""Variants of this many models and sets of images; the oldest go."""

_PREFIX: Final = "int8-"
_MAX_MANIFEST_BYTES: Final = 1 << 20
_LFS_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_REBUILD: Final = "build the model again, with `python -m model_build build`"


def variant(state: Path, model: Path, precision: str | None, images: Path | None) -> Path:
    """The model to serve for `precision`: `model` itself, a model directory or a file in one, or its int8 variant.

    Without `precision` it is `model`, and no manifest is read: the bundle builder checks that. `images` is a folder of
    photos to calibrate with. Exits with one line if the manifest cannot be read or the variant cannot be built.
    """
    if precision is None:
        return model
    folder = model if model.is_dir() else model.parent
    encoded, manifest = _manifest(folder)
    _require_of(model, folder, manifest)
    found = precision_of(manifest)
    if precision == found:
        return model
    if precision == "float32":
        fail(f"{model} computes in {found}", "give the float32 model")
    made = state / "models" / f"{_PREFIX}{_key(encoded, images)}"
    if not (made / MANIFEST).exists():
        python = buildenv.with_onnx(state)
        if python is None:
            fail("the packages for the int8 variant could not be installed", "see above, or serve float32")
        err.print("Building the int8 variant, once…")
        given = () if images is None else ("--images", str(images))
        units.run("model_build", "quantise", "--model", str(folder), "--out", str(made), *given, python=str(python))
        _forget(made)
    return made


def describe(manifest: Mapping[str, Any]) -> str:
    """The precision in a few words, with the measured agreement with float32 if the manifest states it.

    `manifest` may be malformed: the function reads only the name of what it says about the precision.
    """
    name = precision_of(manifest)
    try:
        agreed = manifest["precision"]["agreement"]
        return f"{name}, best class as in float32 on {agreed['top1']:.1%} of {agreed['images']} {agreed['set']} images"
    except (KeyError, TypeError, ValueError, OverflowError):
        return name


def _manifest(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """The manifest in `folder`, as it is and parsed. Its members are not checked."""
    path = folder / MANIFEST
    try:
        encoded = files.read(path, _MAX_MANIFEST_BYTES)
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}", f"check the file, or {_REBUILD}")
    try:
        manifest = strict_json.loads(encoded)
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict):
        lfs = "it is a Git LFS pointer: fetch the file with `git lfs pull`"
        fail(f"{path} is not a model manifest", lfs if encoded.startswith(_LFS_POINTER) else _REBUILD)
    return encoded, manifest


def _require_of(model: Path, folder: Path, manifest: Mapping[str, Any]) -> None:
    """Exit if `model` is a file that the manifest does not name: the variant would be of another graph."""
    named = [part.get("file") for part in (manifest.get("onnx"), manifest.get("labels")) if isinstance(part, dict)]
    if model != folder and named and model.name not in {MANIFEST, *named}:
        fail(f"{MANIFEST} beside {model.name} is the manifest of {named[0]}", "move one of them to another folder")


def _key(manifest: bytes, images: Path | None) -> str:
    """A digest of the manifest, and of the images' names, sizes and times of modification."""
    digest = hashlib.sha256(manifest)
    for path in sorted(images.rglob("*")) if images is not None else ():
        told = path.stat()
        digest.update(f"{path}\0{told.st_size} {told.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _forget(newest: Path) -> None:
    others = [each for each in newest.parent.glob(f"{_PREFIX}*") if each != newest]
    for each in sorted(others, key=lambda each: each.stat().st_mtime, reverse=True)[_KEPT - 1 :]:
        shutil.rmtree(each, ignore_errors=True)
