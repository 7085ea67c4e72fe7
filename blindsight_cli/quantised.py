"""The int8 variant of a model, built once and kept in the state folder."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING, Any, Final

from blindsight import strict_json
from blindsight.answers import precision as precision_of
from blindsight_cli import buildenv, units
from blindsight_cli.console import err, fail
from blindsight_cli.modelpath import MANIFEST

if TYPE_CHECKING:
    from pathlib import Path

_KEPT: Final = 4
"""Variants of this many models and sets of images; the oldest go."""

_PREFIX: Final = "int8-"


def variant(state: Path, model: Path, precision: str | None, images: Path | None) -> Path:
    """The model to serve for `precision`: `model` itself, a model directory or a file in one, or its int8 variant.

    Without `precision` it is `model`. `images` is a folder of photos to calibrate with. Exits with one line if the
    variant cannot be built.
    """
    folder = model if model.is_dir() else model.parent
    found = precision_of(_manifest(folder))
    if precision is None or precision == found:
        return model
    if precision == "float32":
        fail(f"{model} computes in {found}", "give the float32 model")
    made = state / "models" / f"{_PREFIX}{_key(folder, images)}"
    if not (made / MANIFEST).exists():
        python = buildenv.with_onnx(state)
        if python is None:
            fail("the packages for the int8 variant could not be installed", "see above, or serve float32")
        err.print("Building the int8 variant, once…")
        given = () if images is None else ("--images", str(images))
        units.run("model_build", "quantise", "--model", str(folder), "--out", str(made), *given, python=str(python))
        _forget(made)
    return made


def describe(manifest: dict[str, Any]) -> str:
    """The precision in a few words, with the measured agreement with float32."""
    name = precision_of(manifest)
    agreed = manifest.get("precision", {}).get("agreement")
    if not agreed:
        return name
    return f"{name}, best class as in float32 on {agreed['top1']:.1%} of {agreed['images']} {agreed['set']} images"


def _manifest(folder: Path) -> dict[str, Any]:
    manifest = strict_json.loads((folder / MANIFEST).read_bytes())
    if not isinstance(manifest, dict):
        fail(f"{folder / MANIFEST} is not a manifest", "build the model again")
    return manifest


def _key(folder: Path, images: Path | None) -> str:
    """A digest of the manifest, and of the images' names, sizes and times of modification."""
    digest = hashlib.sha256((folder / MANIFEST).read_bytes())
    for path in sorted(images.rglob("*")) if images is not None else ():
        told = path.stat()
        digest.update(f"{path}\0{told.st_size} {told.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _forget(newest: Path) -> None:
    others = [each for each in newest.parent.glob(f"{_PREFIX}*") if each != newest]
    for each in sorted(others, key=lambda each: each.stat().st_mtime, reverse=True)[_KEPT - 1 :]:
        shutil.rmtree(each, ignore_errors=True)
