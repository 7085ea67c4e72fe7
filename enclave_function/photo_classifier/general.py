"""Reads the format `blindsight-model/2`, in which the manifest states every fact of the model."""

from __future__ import annotations

from typing import Any

from photo_classifier.contract import ACTIVATIONS, DTYPES, LAYOUTS, Input, Output
from photo_classifier.filters import FILTERS
from photo_classifier.members import mean, one_of, positive, side, size, std, text, whole
from photo_classifier.problems import ModelError
from photo_classifier.transform import Preprocessing


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
    batch = 0 if entry["batch"] == "free" else whole(entry["batch"], "batch", least=1)
    return Input(
        text(entry["name"], "the input"),
        one_of(LAYOUTS, entry["layout"], "layout"),
        size(entry["size"]),
        batch,
        one_of(DTYPES, entry["dtype"], "dtype"),
    )


def _preprocessing(entry: dict[str, Any]) -> Preprocessing:
    if entry["antialias"] is not True:
        raise ModelError("model.json asks for a resampling without antialiasing")
    interpolation = one_of(FILTERS, entry["interpolation"], "interpolation")
    crop = size(entry["crop"])
    resize = size(entry["resize"]) if isinstance(entry["resize"], list) else side(entry["resize"], "resized side")
    sides = (resize, resize) if isinstance(resize, int) else resize
    if sides[0] < crop[0] or sides[1] < crop[1]:
        raise ModelError("model.json asks for a crop larger than the resized picture")
    channels = one_of(("RGB", "BGR"), entry["channels"], "order of channels")
    return Preprocessing(
        resize, crop, mean(entry["mean"]), std(entry["std"]), interpolation, positive(entry["scale"], "scale"), channels
    )


def _output(entry: dict[str, Any], offset: int) -> Output:
    return Output(
        text(entry["name"], "the output"),
        whole(entry["classes"], "number of classes", least=1),
        one_of(ACTIVATIONS, entry["activation"], "activation"),
        one_of(("function", "graph"), entry["applied_by"], "place of the activation") == "graph",
        one_of(("float32", "float16"), entry["dtype"], "dtype of the output"),
        whole(offset, "label offset", least=0),
    )
