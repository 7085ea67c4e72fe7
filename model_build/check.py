"""Comparison of the ONNX graph with torch, and of a model directory with its manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from model_build import labels, manifest, onnx_file
from model_build.contract import IMAGE_SHAPE, TOLERANCE, Classifier, Tensor, check_contract, relative_difference
from model_build.errors import ContractError, DifferenceError, ModelBuildError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from model_build.export import Network

BATCH_SIZES = (1, 2, 5, 16)
TOP = 5
"""So many best classes must come in the same order."""

_PLAIN = "build it with `python -m model_build build --plain --out DIR`"
_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def check_directory(directory: Path) -> manifest.AnyManifest:
    """Check that a model directory's files are those its manifest names, and run the model. Raises `ContractError`."""
    described = manifest.read(directory)
    model, names = directory / described.onnx.file, directory / described.labels.file
    for path, sha256 in ((model, described.onnx.sha256), (names, described.labels.sha256)):
        if not path.is_file():
            raise ContractError(f"{path} is missing", "build the model again")
        if (digest := manifest.file_sha256(path)) != sha256:
            raise ContractError(f"{path} has SHA-256 {digest}, its manifest says {sha256}", "build the model again")
    facts = described.facts
    for what, found, stated in (
        ("size", model.stat().st_size, described.onnx.bytes),
        ("operator set", onnx_file.opset(model), described.onnx.opset),
        ("number of classes", check_contract(model, facts).classes, facts.output.classes),
        ("number of labels", len(labels.read(names)), described.labels.count),
        ("number of labels", described.labels.count, facts.output.classes - facts.offset),
        ("precision", "int8" if onnx_file.computes_with_integers(model) else "float32", manifest.arithmetic(described)),
    ):
        if found != stated:
            raise ContractError(f"{directory}: the {what} is {found}, not {stated}", "build the model again")
    return described


def check_against_torch(network: Network, path: Path, pictures: Iterable[Image.Image] = ()) -> float:
    """Compare the ONNX file at `path` with `network` on random tensors, synthetic pictures and `pictures`.

    Returns the largest difference found (`relative_difference`). Raises `DifferenceError` above `TOLERANCE` or when the
    five best classes differ.
    """
    import torch  # noqa: PLC0415 - `check_directory` works where torch is not installed

    generator = np.random.default_rng(0)
    random = generator.standard_normal((sum(BATCH_SIZES) // 2, *IMAGE_SHAPE), dtype=np.float32)
    drawn = [network.transform(picture).numpy() for picture in draw_pictures(sum(BATCH_SIZES) // 2)]
    # Turn about, so that every batch size but one meets both kinds.
    inputs = [tensor for pair in zip(random, drawn, strict=True) for tensor in pair]
    inputs += [network.transform(picture).numpy() for picture in pictures]
    classifier = Classifier(path)
    worst = 0.0
    for batch in _batches(np.stack(inputs)):
        with torch.inference_mode():
            reference = network.module(torch.from_numpy(batch)).numpy()
        worst = max(worst, compare(reference, classifier.logits(batch)))
    return worst


def compare(reference: Tensor, found: Tensor) -> float:
    """Compare two (N, K) logits and return their `relative_difference`. Raises `DifferenceError`."""
    if (difference := relative_difference(reference, found)) > TOLERANCE:
        raise DifferenceError(
            f"the ONNX model differs from torch by {difference:.1e} of the logits' range, more than {TOLERANCE:.0e}",
            f"{_PLAIN}; if that differs too, report the versions in use",
        )
    if (_best(reference) != _best(found)).any():
        raise DifferenceError(f"the ONNX model ranks the top {TOP} classes otherwise than torch", _PLAIN)
    return difference


def draw_pictures(count: int) -> list[Image.Image]:
    """Draw `count` RGB pictures of different sizes, the same every time: smooth colours, edges, discs, fine texture."""
    generator = np.random.default_rng(1)
    pictures = []
    for index in range(count):
        width, height = (int(side) for side in generator.integers(150, 700, 2))
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        tint = generator.uniform(0, 1, (2, 3)).astype(np.float32)
        frequency = generator.uniform(2, 40, 2) / max(width, height)
        blend = [
            x / width,
            (np.hypot(x - width / 2, y - height / 2) < min(width, height) / 3).astype(np.float32),
            0.5 + 0.5 * np.sin(2 * np.pi * (frequency[0] * x + frequency[1] * y)),
            generator.uniform(0, 1, (height, width)),
        ][index % 4]
        pixels = tint[0] * blend[..., None] + tint[1] * (1 - blend[..., None])
        pictures.append(Image.fromarray((pixels * 255).astype(np.uint8)))
    return pictures


def read_pictures(directory: Path) -> list[Image.Image]:
    """Read the JPEG, PNG and WebP files of a folder, as RGB. Raises `ModelBuildError`."""
    paths = sorted(path for path in directory.glob("*") if path.suffix.lower() in _IMAGE_SUFFIXES)
    if not paths:
        raise ModelBuildError(f"{directory} has no JPEG, PNG or WebP files", "name a folder of photos")
    pictures = []
    for path in paths:
        try:
            with Image.open(path) as picture:
                pictures.append(picture.convert("RGB"))
        except OSError as error:
            raise ModelBuildError(f"{path} cannot be decoded", "remove it from the folder") from error
    return pictures


def _batches(inputs: Tensor) -> Iterator[Tensor]:
    start, sizes = 0, list(BATCH_SIZES)
    while start < len(inputs):
        size = sizes.pop(0) if sizes else BATCH_SIZES[-1]
        yield inputs[start : start + size]
        start += size


def _best(logits: Tensor) -> npt.NDArray[np.intp]:
    return np.argsort(-logits, axis=1, kind="stable")[:, :TOP]
