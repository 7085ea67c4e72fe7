"""Reads the format `blindsight-model/1`, in which only the transform's numbers and the number of classes vary.

Normalised RGB, float32 (N, 3, S, S), to logits for softmax.
"""

from __future__ import annotations

from typing import Any

from photo_classifier.contract import Input, Output
from photo_classifier.members import mean, side, std, text, whole
from photo_classifier.problems import ModelError
from photo_classifier.transform import Preprocessing


def read(manifest: dict[str, Any]) -> tuple[Input, Preprocessing, Output]:
    """Input, transform and output of the model.

    Raises `ModelError`; for a malformed object also `KeyError`, `IndexError`, `TypeError` or `ValueError`.
    """
    preprocessing, crop = _preprocessing(manifest["preprocessing"])
    given, output = manifest["input"], manifest["output"]
    if output["activation"] != "softmax":
        raise ModelError("model.json asks for another activation than softmax over the output")
    if given["dtype"] != "float32":
        raise ModelError("model.json asks for another input than float32")
    if given["shape"][1:] != [3, crop, crop]:
        raise ModelError("model.json gives the input another size than its preprocessing produces")
    return (
        Input(text(given["name"], "the input"), size=(crop, crop)),
        preprocessing,
        Output(text(output["name"], "the output"), whole(output["shape"][1], "number of classes", least=1)),
    )


def _preprocessing(entry: dict[str, Any]) -> tuple[Preprocessing, int]:
    if entry["interpolation"] != "bilinear" or entry["antialias"] is not True:
        raise ModelError("model.json asks for a resampling other than antialiased bilinear")
    resize, crop = side(entry["resize"], "resized side"), side(entry["crop"], "crop")
    if crop > resize:
        raise ModelError("model.json asks for a crop larger than the resized picture")
    return Preprocessing(resize, crop, mean(entry["mean"]), std(entry["std"])), crop
