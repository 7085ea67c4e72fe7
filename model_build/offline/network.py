"""The offline model's network: a compact residual network for 32 x 32 pictures, and the graph built around it.

The design follows Keller Jordan's airbench94 ("94% on CIFAR-10 in 3.29 Seconds", arXiv:2404.00498): a first layer that
whitens 2 x 2 patches and is computed, not learnt; normalisation without learnt scales; a scaled head. It is narrower,
and each stage's second convolution is residual.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from model_build.offline.data import PREPROCESSING, reduction

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

WIDTHS = (64, 256, 256)
_PATCH = 2
_WHITENED = 2 * 3 * _PATCH * _PATCH
"""Channels after whitening: each of the 12 principal components of a patch, and its negative."""
_SKIP_WEIGHT = 0.5
_LOGIT_SCALE = 1 / 30
"""The two decide how large the first logits are, and with them how fast it learns: after three epochs on a fifth of the
pictures, airbench94's 1/9 with a plain sum gave 22 % of the test pictures, these give 62 %."""


class Stage(nn.Module):
    """(N, inputs, s, s) to (N, outputs, s // 2, s // 2): a convolution, halving, and a residual convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = _convolution(inputs, outputs)
        self.first_norm = _normalisation(outputs)
        self.second = _convolution(outputs, outputs)
        self.second_norm = _normalisation(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.first(x), 2)
        x = functional.gelu(self.first_norm(x))
        return _SKIP_WEIGHT * x + functional.gelu(self.second_norm(self.second(x)))


class Network(nn.Module):
    """Normalised pictures (N, 3, 32, 32) to logits (N, classes)."""

    def __init__(self, classes: int, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        self.whiten = nn.Conv2d(3, _WHITENED, _PATCH, bias=False)
        self.whiten.weight.requires_grad = False
        channels = (_WHITENED, *widths)
        self.stages = nn.Sequential(*(Stage(a, b) for a, b in pairwise(channels)))
        self.head = nn.Linear(channels[-1], classes, bias=False)
        with torch.no_grad():
            self.head.weight /= self.head.weight.std()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stages(functional.gelu(self.whiten(x)))
        logits: Tensor = self.head(x.amax(dim=(2, 3))) * _LOGIT_SCALE
        return logits

    @torch.no_grad()
    def folded(self) -> Network:
        """A copy for inference: normalisation folded into the convolutions, their weights rounded to 8 bits.

        Folding before the halving is exact, since normalisation without learnt scales keeps the order of values. The
        weights stay float32, but each is a whole number from -127 to 127 times a scale of its output channel
        (`eight_bits`): a quarter of the bytes in a file, for the same results.
        """
        copied = copy.deepcopy(self).eval()
        for stage in copied.stages:
            for convolution, norm in (("first", "first_norm"), ("second", "second_norm")):
                fused = fuse_conv_bn_eval(getattr(stage, convolution), getattr(stage, norm))
                setattr(stage, convolution, fused)
                setattr(stage, norm, nn.Identity())
                levels, scales = eight_bits(fused.weight.numpy())
                fused.weight.copy_(torch.from_numpy(levels * scales))
        return copied

    @torch.no_grad()
    def fit_whitening(self, images: Tensor, epsilon: float = 5e-4) -> None:
        """Set the first layer from normalised pictures (n, 3, 32, 32) so that its outputs are uncorrelated."""
        patches = images.unfold(2, _PATCH, 1).unfold(3, _PATCH, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, _WHITENED // 2)
        # In double precision, so that the eigenvectors do not depend on the order of a sum's terms.
        patches = patches.double()
        values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
        filters = (vectors / torch.sqrt(values + epsilon)).T.reshape(-1, 3, _PATCH, _PATCH)
        self.whiten.weight.copy_(torch.cat((filters, -filters)))


def eight_bits(weights: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Levels, whole numbers from -127 to 127 in the shape of `weights` (channels, …), and scales (channels, 1, …).

    `levels * scales` is nearest to `weights`; of weights that are such products already, it gives the same back. For
    that, scales have 12 significant bits, so that 127 of them is exact in float32.
    """
    largest = np.abs(weights).max(axis=tuple(range(1, weights.ndim)), keepdims=True)
    mantissa, exponent = np.frexp(np.maximum(largest / 127, np.finfo(np.float32).tiny))
    scales = np.ldexp(np.ceil(mantissa * 4096) / 4096, exponent).astype(np.float32)
    levels: npt.NDArray[np.float32] = np.rint(weights / scales)
    return levels, scales


class OfflineModel(nn.Module):
    """The graph with the product's contract: `input` (N, 3, 224, 224) float32 normalised, to logits (N, classes).

    The picture is reduced by least squares (`model_build.offline.data.reduction`), which commutes with normalisation,
    and limited to black and white, as the training's pictures are. The logits are a mean over the networks and a
    weighted one over six views: the picture, shifted by a pixel up-left and down-right, and all three mirrored
    (airbench94's test-time augmentation).
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (PREPROCESSING.mean, PREPROCESSING.std))
        self.register_buffer("reduction", torch.from_numpy(reduction()).float())
        self.register_buffer("black", -mean / std)
        self.register_buffer("white", (1 - mean) / std)
        self.register_buffer("view_weights", torch.tensor([0.25, 0.25, 0.125, 0.125, 0.125, 0.125]).reshape(6, 1, 1))
        self.reduction: Tensor
        self.black: Tensor
        self.white: Tensor
        self.view_weights: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return self.logits(self.reduce(x))

    def reduce(self, x: Tensor) -> Tensor:
        """(N, 3, 224, 224) to (N, 3, 32, 32), normalised both."""
        small = self.reduction @ x @ self.reduction.T
        return torch.minimum(torch.maximum(small, self.black), self.white)

    def logits(self, small: Tensor) -> Tensor:
        """Logits (N, classes) for normalised pictures already reduced, (N, 3, 32, 32)."""
        padded = functional.pad(small, (1, 1, 1, 1), mode="reflect")
        shifted = (small, padded[:, :, :-2, :-2], padded[:, :, 2:, 2:])
        views = torch.cat([view for picture in shifted for view in (picture, picture.flip(3))])
        logits = torch.stack([network(views) for network in self.networks]).mean(0)
        return (logits.reshape(len(self.view_weights), -1, logits.shape[1]) * self.view_weights).sum(0)


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3 x 3 convolution that starts by passing its inputs through unchanged (as far as there are outputs)."""
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(convolution.weight[:inputs])
    return convolution


def _normalisation(channels: int) -> nn.BatchNorm2d:
    # The running statistics follow fast: a training is only some hundred steps long.
    norm = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    norm.weight.requires_grad = False
    return norm
