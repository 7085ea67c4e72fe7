"""What can go wrong while a model is built, imported or checked.

ModelBuildError
├── DownloadError       the weights cannot be fetched; safe to repeat, the part that arrived is kept
├── WeightsError        a weights file is not what its name or the network says
├── ContractError       an ONNX file, its labels or a model directory break the contract of docs/architecture.md
├── DifferenceError     the ONNX graph does not compute what torch computes
├── AgreementError      an int8 graph answers otherwise than its float32 original too often
└── SpeedError          an int8 graph is not enough faster than its float32 original
"""

from __future__ import annotations


class ModelBuildError(Exception):
    """Nothing was written. `next_step`: what the user can do about it, in one line; may be empty."""

    def __init__(self, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.next_step = next_step


class DownloadError(ModelBuildError):
    """The weights cannot be fetched. Repeating is safe and continues where the download stopped."""


class WeightsError(ModelBuildError):
    """A weights file is damaged, is not the one its name announces, or does not fit ResNet50."""


class ContractError(ModelBuildError):
    """An ONNX file, its labels or a model directory break the contract."""


class DifferenceError(ModelBuildError):
    """The ONNX graph's logits differ from torch's by more than the tolerance, or rank the classes differently."""


class AgreementError(ModelBuildError):
    """The best class of an int8 graph differs from that of its float32 original on too many images."""


class SpeedError(ModelBuildError):
    """An int8 graph is less than `precision.LEAST_SPEED` times as fast as its float32 original."""
