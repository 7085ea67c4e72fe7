"""`python -m benchmarks.compact`: train a compact network with float weights, to measure the agreement of int8.

The offline model and the tests' MobileNetV2 were trained for 8-bit weights, so their agreement is too good; untrained
weights have no meaningful classes. This program trains a residual network (0.68 million weights, batch normalisation
and ReLU) on CIFAR-10 in minutes, exports it in float32 and writes test images beside it:

    python -m benchmarks.compact --data cifar10_jpeg.zip --out compact
    python -m model_build quantise --model compact/model --images compact/photos --out compact/int8
"""

from __future__ import annotations

import argparse
import io
import itertools
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from blindsight.arguments import whole
from model_build import build, labels
from model_build.export import export_onnx
from model_build.offline.data import class_names
from model_build.offline.loop import normalise

if TYPE_CHECKING:
    from collections.abc import Iterator

SIDE, RESIZED, CROP = 32, 232, 224
WIDTHS = (24, 48, 96, 192)
_BATCH = 250
_POOL = CROP // SIDE


class Block(nn.Module):
    """A residual block that halves the sides: (N, inputs, s, s) to (N, outputs, s / 2, s / 2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs))
        self.around = nn.Sequential(nn.Conv2d(inputs, outputs, 1, 2, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.second(self.first(x)) + self.around(x))


class Compact(nn.Module):
    """Maps the service's input (N, 3, 224, 224) to logits (N, classes). `small` takes the pooled (N, 3, 32, 32)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU())
        blocks = (Block(inputs, outputs) for inputs, outputs in itertools.pairwise(WIDTHS))
        self.small = nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], classes))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.small(functional.avg_pool2d(x, _POOL))
        return logits


def train(pictures: Tensor, classes: Tensor, epochs: int, seed: int) -> Compact:
    """Train on normalised `pictures` (n, 3, 32, 32), as `as_served` returns them, and `classes` (n,).

    `seed` determines weights, order and shifts. Returns the network in evaluation mode.
    """
    torch.manual_seed(seed)
    network = Compact(int(classes.max()) + 1)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = len(pictures) // _BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.4, total_steps=epochs * steps)
    for epoch in range(epochs):
        began, hits = time.monotonic(), 0
        order = torch.randperm(len(pictures))
        for step in range(steps):
            chosen = order[step * _BATCH : (step + 1) * _BATCH]
            batch = _shifted(pictures[chosen])
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = network.small(batch).float()
            loss = functional.cross_entropy(logits, classes[chosen], label_smoothing=0.1)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
            optimiser.step()
            schedule.step()
            hits += int((logits.argmax(1) == classes[chosen]).sum())
        print(
            f"epoch {epoch + 1}: {hits / (steps * _BATCH):.1%} of training, {time.monotonic() - began:.0f} s",
            flush=True,
        )
    return network.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload,no-any-return]  # as above


def _shifted(batch: Tensor) -> Tensor:
    """Shift a batch (n, 3, 32, 32) by up to two pixels, and mirror it with a probability of one half."""
    down, right = torch.randint(5, (2,)).tolist()
    padded = functional.pad(batch, (2, 2, 2, 2), mode="reflect")[:, :, down : down + SIDE, right : right + SIDE]
    padded = padded.flip(3) if torch.rand(()) < 0.5 else padded
    return padded.contiguous(memory_format=torch.channels_last)


def as_served(pictures: Tensor) -> Tensor:
    """Apply the service's enlargement and crop, and the network's pooling, to pictures (n, 3, 32, 32).

    Returns (n, 3, 32, 32). All three are linear, so one matrix for each axis computes them.
    """
    margin = (RESIZED - CROP) // 2
    ends = torch.eye(SIDE)[None, None]
    enlarged = functional.interpolate(ends, size=(RESIZED, SIDE), mode="bilinear", align_corners=False)[0, 0]
    matrix = functional.avg_pool1d(enlarged[margin : margin + CROP].T[None], _POOL)[0].T
    return matrix @ pictures @ matrix.T


def _files(archive: Path, split: str, names: tuple[str, ...]) -> Iterator[tuple[int, str, bytes]]:
    """Yield class, name and content of each picture of a split, in the order of names."""
    with zipfile.ZipFile(archive) as opened:
        for member in sorted(opened.namelist()):
            parts = member.split("/")
            if len(parts) == 3 and parts[0] == split and member.endswith(".jpg"):
                yield names.index(parts[1]), f"{parts[1]}-{parts[2]}", opened.read(member)


def main() -> None:
    """Train, export, and write the test images."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compact")
    parser.add_argument("--data", type=Path, required=True, metavar="ZIP", help="CIFAR-10 as JPEG files")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--epochs", type=whole, default=4, metavar="N")
    parser.add_argument("--photos", type=whole, default=2000, metavar="N", help="test pictures to write (default 2000)")
    options = parser.parse_args()
    names = class_names(options.data)
    classes, pixels = [], []
    for index, _, content in _files(options.data, "train", names):
        classes.append(index)
        pixels.append(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
    pictures = as_served(normalise(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)))
    began = time.process_time()
    network = train(pictures, torch.tensor(classes), options.epochs, seed=0)
    print(f"{sum(each.numel() for each in network.parameters())} weights, {time.process_time() - began:.0f} s")
    out: Path = options.out
    photos = out / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    tests = list(_files(options.data, "test", names))
    for _, name, content in tests[:: max(1, len(tests) // options.photos)]:
        (photos / name).write_bytes(content)
    export_onnx(network, out / "compact.onnx")
    labels.write(out / "labels.txt", names)
    build.import_onnx(out / "model", out / "compact.onnx", label_file=out / "labels.txt", version=f"{options.epochs}")


if __name__ == "__main__":
    main()
