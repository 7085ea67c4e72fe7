"""The model directory as its manifest, `model.json`, describes it; checked before anything of it is used."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from photo_classifier import formats, precision
from photo_classifier.transform import Preprocessing

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "model.json"
FORMATS = ("blindsight-model/1", "blindsight-model/2")

_READ_BYTES = 1 << 20


class ModelError(Exception):
    """The model must not be used: it is not what its manifest says, or not what this function can run."""


@dataclass(frozen=True)
class ModelFiles:
    """A model directory whose graph and labels have the digests that its manifest names."""

    manifest: dict[str, Any]
    onnx: Path
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    formats: tuple[str, ...]
    """The image formats that are taken, some of `formats.DECODABLE`, in its order."""
    precision: str
    """The arithmetic that the graph computes in: `precision.FLOAT32` or `INT8`."""


def read(folder: Path) -> ModelFiles:
    """Read `model.json` in `folder` and verify the files it names. Raises `ModelError`."""
    manifest = _manifest(folder / FILE_NAME)
    try:
        preprocessing = _preprocessing(manifest["preprocessing"])
        taken = _formats(manifest.get("formats", list(formats.DEFAULT)))
        if manifest["output"]["activation"] != "softmax":
            raise ModelError("model.json asks for another activation than softmax over the output")
        if manifest["input"]["shape"][1:] != [3, preprocessing.crop, preprocessing.crop]:
            raise ModelError("model.json gives the input another size than its preprocessing produces")
        stated = precision.stated(manifest)
        onnx = _verified(folder, manifest["onnx"])
        _check_precision(onnx, stated)
        labels = _labels(_verified(folder, manifest["labels"]))
        if not len(labels) == manifest["labels"]["count"] == manifest["output"]["shape"][1]:
            raise ModelError("model.json, the labels and the output disagree about the number of classes")
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ModelError(f"model.json is incomplete or malformed: {type(error).__name__} {error}") from error
    except OSError as error:
        raise ModelError(f"a file that model.json names cannot be read: {error}") from error
    return ModelFiles(manifest, onnx, labels, preprocessing, taken, stated)


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path.name} cannot be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") not in FORMATS:
        raise ModelError(f"{path.name} is not a manifest of the format {' or '.join(FORMATS)}")
    return manifest


def _verified(folder: Path, entry: dict[str, Any]) -> Path:
    name = entry["file"]
    if not isinstance(name, str) or name in {"", ".", ".."} or "/" in name or "\\" in name:
        raise ModelError("model.json names a file outside its own folder")
    path = folder / name
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    if digest.hexdigest() != entry["sha256"]:
        raise ModelError(f"{name} does not have the SHA-256 that model.json names")
    return path


def _check_precision(onnx: Path, stated: str) -> None:
    """Whatever the digest says, answers must not come from another arithmetic than callers are told."""
    # Mapped, since only the operators of what may be 100 MB are looked at.
    try:
        found = precision.found(np.memmap(onnx, mode="r").data)
    except ValueError as error:
        raise ModelError(f"{onnx.name} is no ONNX graph: {error}") from error
    if found != stated:
        raise ModelError(f"{onnx.name} computes in {found}, and model.json says {stated}")


def _labels(path: Path) -> tuple[str, ...]:
    # As `model_build` reads them: without the mark that some editors put first, and empty lines at the end.
    # Not `splitlines`, which also splits at separators that a label may contain.
    lines = path.read_text("utf-8-sig").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return tuple(lines)


def _preprocessing(entry: dict[str, Any]) -> Preprocessing:
    if entry["interpolation"] != "bilinear" or entry["antialias"] is not True:
        raise ModelError("model.json asks for a resampling other than antialiased bilinear")
    resize, crop = entry["resize"], entry["crop"]
    if not (isinstance(resize, int) and isinstance(crop, int) and 0 < crop <= resize):
        raise ModelError("model.json asks for a crop larger than the resized picture")
    mean, std = entry["mean"], entry["std"]
    if len(mean) != 3 or len(std) != 3:
        raise ModelError("model.json does not give three means and three standard deviations")
    return Preprocessing(
        resize, crop, (float(mean[0]), float(mean[1]), float(mean[2])), (float(std[0]), float(std[1]), float(std[2]))
    )


def _formats(entry: object) -> tuple[str, ...]:
    if not isinstance(entry, list) or not entry or not all(isinstance(name, str) for name in entry):
        raise ModelError("model.json does not list the image formats that are taken as names")
    if unknown := sorted(set(entry) - set(formats.DECODABLE)):
        raise ModelError(f"model.json lists image formats that this function does not decode: {', '.join(unknown)}")
    return tuple(name for name in formats.DECODABLE if name in entry)
