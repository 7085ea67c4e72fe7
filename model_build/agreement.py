"""Comparison of an int8 graph with its float32 original: answers and speed."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Final

import numpy as np

from model_build import function
from model_build.contract import relative_difference
from model_build.errors import AgreementError, SpeedError
from model_build.images import LEAST_IMAGES
from model_build.precision import LEAST_AGREEMENT, LEAST_SPEED, Agreement, ImageSet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from model_build.contract import Classifier, Tensor
    from model_build.images import Images
    from model_build.session import Array

TOP: Final = 5
_DIGITS: Final = 4
"""Decimal digits of a share in the manifest. Kernels that add in another order must not change its digest."""

_ROUNDS: Final = 12

_PROPOSED: Final[dict[ImageSet, str]] = {
    "synthetic": f"at least {LEAST_IMAGES} photos",
    "given": "other or more photos",
}
"""Images to calibrate with instead, by those that were used."""


def measure(reference: Classifier, found: Classifier, images: Images, calibrating: Sequence[Array] = ()) -> Agreement:
    """Compare the answers of `reference` and `found` on the images that are not among the batches `calibrating`.

    Returns an `Agreement` with the speed `unmeasured`. Raises `ModelBuildError` for too few images, and for images on
    which float32 has equal logits, or one of the graphs has logits that are not finite.
    """
    pairs = [(reference.values(batch), found.values(batch)) for batch in images.others(calibrating)]
    expected, seen = (np.concatenate(part) for part in zip(*pairs, strict=True))
    finite = np.isfinite(expected).all(axis=1) & np.isfinite(seen).all(axis=1)
    comparable = finite & (np.ptp(expected, axis=1) > 0)
    if not comparable.all():
        raise AgreementError(
            f"the logits are not finite, or all equal, on {(~comparable).sum()} of {len(expected)} {images.set} images",
            "serve float32, if it has finite logits for photos of the kind that will be classified",
        )
    return Agreement(
        images=len(expected),
        set=images.set,
        top1=round(share_of_best(expected, seen, 1), _DIGITS),
        top5=round(share_of_best(expected, seen, TOP), _DIGITS),
        logits=round(relative_difference(expected, seen), _DIGITS),
        speed="unmeasured",
    )


def share_of_best(expected: Tensor, seen: Tensor, count: int) -> float:
    """The mean share, 0..1, of the `count` best classes of `expected` that are among the `count` best of `seen`.

    Both are (N, K).
    """
    best, others = (np.argsort(-logits, axis=1, kind="stable")[:, :count] for logits in (expected, seen))
    return float((best[:, :, None] == others[:, None, :]).any(axis=2).mean())


def require(agreement: Agreement) -> None:
    """Raise `AgreementError` if the best class agrees on less than `LEAST_AGREEMENT` of the images."""
    if agreement.top1 < LEAST_AGREEMENT:
        raise AgreementError(
            f"the int8 graph names the best class of float32 on {agreement.top1:.1%} of {agreement.images}"
            f" {agreement.set} images, less than {LEAST_AGREEMENT:.0%}",
            f"calibrate on {_PROPOSED[agreement.set]} of the kind that will be classified, with `--images DIR`, or"
            " `make run` with IMAGES=DIR; otherwise serve float32",
        )


def speed(reference: Path, found: Path) -> float:
    """How many times as many images per second as the model directory `reference` the directory `found` computes.

    The deployed function measures, on one thread: with its session options, such as exact products on processors that
    would saturate sums. The ratio of processor times for one image, or one batch of a fixed size. The two graphs run
    alternately, so that other processes affect the median of the ratios little. Raises `ModelBuildError`.
    """
    models = ("--model", str(reference), "--model", str(found))
    with function.output("times", *models, "--rounds", str(_ROUNDS)) as lines:
        ratios = [float(slow / fast) for slow, fast in map(json.loads, lines)]
    return statistics.median(ratios[1:])


def require_speed(ratio: float) -> None:
    """Raise `SpeedError` if `ratio` is below `LEAST_SPEED`."""
    if ratio < LEAST_SPEED:
        raise SpeedError(
            f"the int8 graph is {ratio:.2f} times as fast as float32 on this machine, less than {LEAST_SPEED}",
            "serve float32, or build it on a processor with VNNI, or for another machine:"
            " `python -m model_build quantise --model DIR --out DIR --no-speed-test`",
        )
