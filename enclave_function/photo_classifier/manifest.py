"""The model directory according to its manifest `model.json`; everything is checked before use."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from photo_classifier import fixed, formats, general, precision, strict_json
from photo_classifier.members import shown, text, whole
from photo_classifier.problems import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from photo_classifier.contract import Input, Output
    from photo_classifier.transform import Preprocessing

__all__ = ["ModelError", "ModelFiles", "read"]

FILE_NAME = "model.json"

_FORMATS = {"blindsight-model/1": fixed.read, "blindsight-model/2": general.read}
_READ_BYTES = 1 << 20
_MOST_BYTES = 1 << 20
"""Largest manifest; the largest member is the list of layers in float32."""

_MOST_INPUT_BYTES = 1 << 29
"""Largest input of one run of a graph with a fixed batch size, or of one image."""

_SCALED_TO = 2
"""A JPEG may be decoded at a size whose sides are at least this multiple of the resized shorter side. The resampling
would remove the detail that the decoder leaves out."""


@dataclass(frozen=True)
class ModelFiles:
    """A model directory whose graph and labels have the digests in its manifest."""

    manifest: dict[str, Any]
    onnx: Path
    labels: tuple[str, ...]
    input: Input
    preprocessing: Preprocessing
    output: Output
    formats: tuple[str, ...]
    """Accepted image formats, a subset of `formats.DECODABLE`, in its order."""
    least_side: int | None
    """Least width and height in pixels at which a JPEG may be decoded smaller; None: always in full."""
    precision: str
    """Arithmetic of the graph: `precision.FLOAT32` or `INT8`."""


def read(folder: Path) -> ModelFiles:
    """Read `model.json` in `folder` and verify the files it names. Raises `ModelError`."""
    manifest = _manifest(folder / FILE_NAME)
    try:
        _check_description(manifest)
        model_input, preprocessing, output = _FORMATS[manifest["format"]](manifest)
        if model_input.byte_count * max(model_input.batch, 1) > _MOST_INPUT_BYTES:
            raise ModelError(f"model.json asks for an input of more than {_MOST_INPUT_BYTES >> 20} MiB in one run")
        taken = _formats(manifest.get("formats", list(formats.DEFAULT)))
        least_side = _least_side(manifest.get("decoding", {"dct_scaling": False}), preprocessing)
        if manifest["format"] == "blindsight-model/1" and "precision" in manifest:
            raise ModelError("model.json names a precision, which blindsight-model/1 does not have")
        stated = precision.stated(manifest)
        onnx = _verified(folder, manifest["onnx"])
        _check_precision(onnx, stated)
        labels = _labels(_verified(folder, manifest["labels"]))
        if (
            not len(labels)
            == whole(manifest["labels"]["count"], "number of labels", least=1)
            == output.classes - output.offset
        ):
            raise ModelError("model.json, the labels and the output disagree about the number of classes")
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise ModelError(f"model.json is incomplete or malformed: {type(error).__name__} {error}") from error
    except OSError as error:
        raise ModelError(f"a file that model.json names cannot be read: {error}") from error
    return ModelFiles(manifest, onnx, labels, model_input, preprocessing, output, taken, least_side, stated)


def _manifest(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise ModelError(f"{path.name} has more than {_MOST_BYTES} bytes")
        manifest = strict_json.loads(content)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path.name} cannot be read: {error}") from error
    if (
        not isinstance(manifest, dict)
        or not isinstance(manifest.get("format"), str)
        or manifest["format"] not in _FORMATS
    ):
        raise ModelError(f"{path.name} is not a {' or '.join(_FORMATS)} manifest")
    return manifest


def _check_description(manifest: dict[str, Any]) -> None:
    """Require the members that answers contain and that nothing else reads. Raises `ModelError`."""
    for member in ("name", "version"):
        text(manifest[member], f"the model's {member}")
    if manifest.get("notice") is not None:
        text(manifest["notice"], "the notice")
    if not isinstance(manifest["trained"], bool):
        raise ModelError(f"model.json says of the training {shown(manifest['trained'])}, not true or false")


def _verified(folder: Path, entry: dict[str, Any]) -> Path:
    name = entry["file"]
    if not isinstance(name, str) or name in {"", ".", ".."} or not {"/", "\\", "\0"}.isdisjoint(name):
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
    """Require the stated arithmetic, because answers state it. Raises `ModelError`."""
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


def _least_side(entry: object, preprocessing: Preprocessing) -> int | None:
    if not isinstance(entry, dict) or not isinstance(entry.get("dct_scaling"), bool) or len(entry) != 1:
        raise ModelError("model.json does not say of decoding whether it uses DCT scaling")
    if not entry["dct_scaling"]:
        return None
    resize = preprocessing.resize
    return _SCALED_TO * (resize if isinstance(resize, int) else max(resize))


def _formats(entry: object) -> tuple[str, ...]:
    if not isinstance(entry, list) or not entry or not all(isinstance(name, str) for name in entry):
        raise ModelError("model.json does not list the image formats that are taken as names")
    if unknown := sorted(set(entry) - set(formats.DECODABLE)):
        raise ModelError(f"model.json lists image formats that this function does not decode: {', '.join(unknown)}")
    return tuple(name for name in formats.DECODABLE if name in entry)
