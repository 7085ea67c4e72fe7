"""Reads the format `blindsight-model/1`, in which only the transform's numbers and the number of classes vary.

Normalised RGB, float32 (N, 3, S, S), to logits for softmax.
"""

from __future__ import annotations

from typing import Any

from photo_classifier.contract import Input, Output
from photo_classifier.problems import ModelError
from photo_classifier.transform import Preprocessing


def read(manifest: dict[str, Any]) -> tuple[Input, Preprocessing, Output]:
    """Input, transform and output of the model.

    Raises `ModelError`; for a malformed object also `KeyError`, `IndexError`, `TypeError` or `ValueError`.
    """
    preprocessing, crop = _preprocessing(manifest["preprocessing"])
    if manifest["output"]["activation"] != "softmax":
        raise ModelError("model.json asks for another activation than softmax over the output")
    if manifest["input"]["shape"][1:] != [3, crop, crop]:
        raise ModelError("model.json gives the input another size than its preprocessing produces")
    output = Output(manifest["output"]["name"], manifest["output"]["shape"][1])
    return Input(manifest["input"]["name"], size=(crop, crop)), preprocessing, output


def _preprocessing(entry: dict[str, Any]) -> tuple[Preprocessing, int]:
    if entry["interpolation"] != "bilinear" or entry["antialias"] is not True:
        raise ModelError("model.json asks for a resampling other than antialiased bilinear")
    resize, crop = entry["resize"], entry["crop"]
    if not (isinstance(resize, int) and isinstance(crop, int) and 0 < crop <= resize):
        raise ModelError("model.json asks for a crop larger than the resized picture")
    return Preprocessing(resize, crop, three(entry["mean"]), three(entry["std"])), crop


def three(numbers: list[float]) -> tuple[float, float, float]:
    """Mean or standard deviation of the three channels. Raises `ModelError` for another number of values."""
    if len(numbers) != 3:
        raise ModelError("model.json does not give three means and three standard deviations")
    return float(numbers[0]), float(numbers[1]), float(numbers[2])
