"""Reads the format `blindsight-model/2`, in which the manifest states every fact of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from photo_classifier.contract import ACTIVATIONS, DTYPES, LAYOUTS, Input, Output
from photo_classifier.filters import FILTERS
from photo_classifier.fixed import three
from photo_classifier.problems import ModelError
from photo_classifier.transform import Preprocessing, Size

if TYPE_CHECKING:
    from collections.abc import Collection


def read(manifest: dict[str, Any]) -> tuple[Input, Preprocessing, Output]:
    """Input, transform and output of the model.

    Raises `ModelError`; for a malformed object also `KeyError`, `IndexError`, `TypeError` or `ValueError`.
    """
    model_input, preprocessing = _input(manifest["input"]), _preprocessing(manifest["preprocessing"])
    if preprocessing.crop != model_input.size:
        raise ModelError("model.json gives the input another size than its preprocessing produces")
    if model_input.dtype == "uint8" and (preprocessing.scale, *preprocessing.mean, *preprocessing.std) != (
        1, 0, 0, 0, 1, 1, 1,
    ):  # fmt: skip
        raise ModelError("model.json asks for normalised grey levels in an input of uint8")
    return model_input, preprocessing, _output(manifest["output"], manifest["labels"]["offset"])


def _input(entry: dict[str, Any]) -> Input:
    batch = 0 if entry["batch"] == "free" else _whole(entry["batch"], "batch", least=1)
    return Input(
        _text(entry["name"]),
        _one_of(LAYOUTS, entry["layout"], "layout"),
        _size(entry["size"]),
        batch,
        _one_of(DTYPES, entry["dtype"], "dtype"),
    )


def _preprocessing(entry: dict[str, Any]) -> Preprocessing:
    if entry["antialias"] is not True:
        raise ModelError("model.json asks for a resampling without antialiasing")
    interpolation = _one_of(FILTERS, entry["interpolation"], "interpolation")
    crop = _size(entry["crop"])
    resize = entry["resize"] if isinstance(entry["resize"], int) else _size(entry["resize"])
    sides = (resize, resize) if isinstance(resize, int) else resize
    if sides[0] < crop[0] or sides[1] < crop[1]:
        raise ModelError("model.json asks for a crop larger than the resized picture")
    scale, std = float(entry["scale"]), three(entry["std"])
    if not scale or not all(std):
        raise ModelError("model.json scales pictures to nothing, or divides by nothing")
    channels = _one_of(("RGB", "BGR"), entry["channels"], "order of channels")
    return Preprocessing(resize, crop, three(entry["mean"]), std, interpolation, scale, channels)


def _output(entry: dict[str, Any], offset: int) -> Output:
    return Output(
        _text(entry["name"]),
        _whole(entry["classes"], "number of classes", least=1),
        _one_of(ACTIVATIONS, entry["activation"], "activation"),
        _one_of(("function", "graph"), entry["applied_by"], "place of the activation") == "graph",
        _one_of(("float32", "float16"), entry["dtype"], "dtype of the output"),
        _whole(offset, "label offset", least=0),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ModelError("model.json gives the input or the output no name")
    return value


def _one_of(known: Collection[str], value: object, what: str) -> str:
    if not isinstance(value, str) or value not in known:
        raise ModelError(f"model.json asks for the {what} {value}; this function knows {', '.join(known)}")
    return value


def _size(value: object) -> Size:
    if not isinstance(value, list) or len(value) != 2:
        raise ModelError("model.json does not give sizes as height and width")
    return _whole(value[0], "height", least=1), _whole(value[1], "width", least=1)


def _whole(value: object, what: str, *, least: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ModelError(f"model.json gives the {what} as {value}")
    return value
