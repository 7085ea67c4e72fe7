"""The training itself: recipe, augmentation, averaging, checkpoints.

The recipe is airbench94's (arXiv:2404.00498): stochastic gradient descent with Nesterov momentum, a triangular learning
rate, label smoothing, alternating flip, shifts, faster biases, and Lookahead averaging; with a square of each picture
cut out, since many epochs on small JPEG files would learn them by heart. Convolutions compute in bfloat16, which
processors and GPUs of recent years do twice as fast; weights and averages are float32. It is deterministic: what an
epoch draws depends only on the seed and the epoch's number, so a resumed training goes on exactly as an uninterrupted
one would.
"""

from __future__ import annotations

import os
import pickle
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from model_build.errors import ModelBuildError
from model_build.offline.data import PREPROCESSING, SIDE
from model_build.offline.network import WIDTHS, Network

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from model_build.offline.data import Dataset, Split

CHECKPOINT = "checkpoint.pt"
_CHECKPOINT_FORMAT = 3
_LOOKAHEAD_STEPS = 5


class CheckpointError(ModelBuildError):
    """A checkpoint cannot be gone on from; the message says why."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "train without --resume, or in another folder with --work DIR")


@dataclass(frozen=True)
class Recipe:
    """All that decides the weights besides the data. The batch size does not change how much a picture counts.

    `learning_rate` and `weight_decay` are for 1024 pictures with momentum (`_rates`), as airbench94 counts them;
    `bias_factor` multiplies the rate for biases. `warm_up` is the part of the steps in which the rate rises. `shift`,
    and `cutout`, the side of the square that is cut out, are in pixels.
    """

    epochs: int
    seed: int = 0
    batch: int = 500
    widths: tuple[int, ...] = WIDTHS
    learning_rate: float = 8.0
    bias_factor: float = 64.0
    momentum: float = 0.85
    weight_decay: float = 0.0153
    label_smoothing: float = 0.2
    shift: int = 2
    cutout: int = 10
    warm_up: float = 0.23


MEMBERS = (
    Recipe(epochs=16, learning_rate=6.0, cutout=0),
    Recipe(epochs=20, learning_rate=8.0, cutout=10),
)
"""The networks of the offline model. Trained differently, they err on different pictures: alone they are right on 90.4
and 90.7 % of the test pictures, together on 91.2 %."""


@dataclass
class Progress:
    """What has been done: for each finished epoch its mean loss, training accuracy, and wall-clock seconds."""

    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0


class Lookahead:
    """Weights averaged over time, to which the network is reset every few steps (arXiv:1907.08610)."""

    def __init__(self, network: nn.Module) -> None:
        self.average = {name: value.clone() for name, value in _floats(network).items()}

    @torch.no_grad()
    def update(self, network: nn.Module, decay: float) -> None:
        for name, value in _floats(network).items():
            value.copy_(self.average[name].lerp_(value, 1 - decay))


class Draw(NamedTuple):
    """What is drawn for the pictures of a batch, each (batch,): which, shifted, mirrored, and cut out from where."""

    picture: Tensor
    down: Tensor
    right: Tensor
    mirrored: Tensor
    cut_row: Tensor
    cut_column: Tensor


class Augmentation:
    """Draws an epoch's batches: each picture shifted, cut out at random, and mirrored in every second epoch."""

    def __init__(self, split: Split, recipe: Recipe, device: torch.device) -> None:
        shift = recipe.shift
        images = torch.from_numpy(split.images).permute(0, 3, 1, 2).float()
        padded = functional.pad(images, (shift,) * 4, mode="reflect").byte()
        # A view (n, 3, 2 shift + 1, 2 shift + 1, 32, 32) of every shift of every picture, without copies.
        self._windows = padded.to(device).unfold(2, SIDE, 1).unfold(3, SIDE, 1)
        self._labels = torch.from_numpy(split.labels).to(device)
        self._recipe = recipe
        self._device = device
        self._mirrored_first = torch.rand(len(images), generator=_generator(recipe.seed, 0)) < 0.5

    def batches(self, epoch: int) -> list[Draw]:
        """The epoch's draws; a remainder is left out."""
        generator = _generator(self._recipe.seed, epoch + 1)
        count = len(self._labels)
        order = torch.randperm(count, generator=generator)
        shifts = torch.randint(2 * self._recipe.shift + 1, (2, count), generator=generator)
        mirrored = (self._mirrored_first ^ bool(epoch % 2))[order]
        # The square's centre lies anywhere, so parts of it may lie outside.
        cuts = torch.randint(SIDE, (2, count), generator=generator) - self._recipe.cutout // 2
        batch = min(self._recipe.batch, count)
        drawn = (order, shifts[0], shifts[1], mirrored, cuts[0], cuts[1])
        return [Draw(*(part[i : i + batch] for part in drawn)) for i in range(0, count - batch + 1, batch)]

    def pictures(self, drawn: Draw) -> tuple[Tensor, Tensor]:
        """Normalised pictures (batch, 3, 32, 32), zero where cut out, and their classes (batch,)."""
        drawn = Draw(*(part.to(self._device) for part in drawn))
        pixels = self._windows[drawn.picture, :, drawn.down, drawn.right]
        pixels = torch.where(drawn.mirrored.view(-1, 1, 1, 1), pixels.flip(3), pixels)
        cut = self._within(drawn.cut_row)[:, None, :, None] & self._within(drawn.cut_column)[:, None, None, :]
        return normalise(pixels).masked_fill_(cut, 0), self._labels[drawn.picture]

    def _within(self, start: Tensor) -> Tensor:
        """(batch, 32): whether a row or column lies in the square that begins at `start`."""
        distance = torch.arange(SIDE, device=self._device) - start[:, None]
        return (distance >= 0) & (distance < self._recipe.cutout)


def normalise(pixels: Tensor) -> Tensor:
    """Turn uint8 pixels (n, 3, h, w) into what the product's normalisation gives, float32, channels last."""
    mean = torch.tensor(PREPROCESSING.mean, device=pixels.device).view(1, 3, 1, 1)
    std = torch.tensor(PREPROCESSING.std, device=pixels.device).view(1, 3, 1, 1)
    return ((pixels.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def train(
    dataset: Dataset, recipe: Recipe, device: torch.device, work: Path, *, resume: bool, report: Callable[[str], None]
) -> tuple[Network, Progress]:
    """Train, or go on from the checkpoint in `work`; returns the averaged network, on the CPU, ready for inference.

    Raises `CheckpointError` if the checkpoint is of another recipe or archive.
    """
    network, first_epoch, restored, progress = _start(dataset, recipe, work, resume=resume)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this pair
    optimiser = _optimiser(network, recipe)
    lookahead = Lookahead(network)
    if restored is not None:
        optimiser.load_state_dict(restored["optimiser"])
        lookahead.average = {name: value.to(device) for name, value in restored["average"].items()}
    augmentation = Augmentation(dataset.train, recipe, device)
    steps_each = len(augmentation.batches(0))
    total = steps_each * recipe.epochs
    scheduler = _Schedule(optimiser, recipe, total)
    for epoch in range(first_epoch, recipe.epochs):
        started, cpu_started = time.monotonic(), time.process_time()
        network.train()
        loss_sum = torch.zeros((), device=device)
        hits = torch.zeros((), device=device)
        for step, drawn in enumerate(augmentation.batches(epoch), start=epoch * steps_each):
            pictures, labels = augmentation.pictures(drawn)
            scheduler.set(step)
            with torch.autocast(device.type, dtype=torch.bfloat16):
                logits = network(pictures).float()
            loss = functional.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing, reduction="sum")
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves Tensor.backward untyped
            optimiser.step()
            loss_sum += loss.detach()
            hits += (logits.detach().argmax(1) == labels).sum()
            if (step + 1) % _LOOKAHEAD_STEPS == 0:
                lookahead.update(network, decay=0.95**_LOOKAHEAD_STEPS * ((step + 1) / total) ** 3)
        if epoch + 1 == recipe.epochs:
            lookahead.update(network, decay=1.0)
        seen = steps_each * min(recipe.batch, len(dataset.train.labels))
        progress.losses.append(loss_sum.item() / seen)
        progress.accuracies.append(hits.item() / seen)
        progress.seconds.append(time.monotonic() - started)
        progress.cpu_seconds += time.process_time() - cpu_started
        state = {
            "made_from": _made_from(recipe, dataset),
            "epochs": epoch + 1,
            "network": network.state_dict(),
            "optimiser": optimiser.state_dict(),
            "average": lookahead.average,
            "progress": asdict(progress),
        }
        _save(work / CHECKPOINT, state)
        report(_line(recipe, progress))
    return network.eval().to("cpu", memory_format=torch.contiguous_format), progress  # type: ignore[call-overload]  # as above


class _Schedule:
    """Learning rates that rise from 0.2 to 1 of the recipe's, then fall to 0.07, both linearly in steps."""

    def __init__(self, optimiser: torch.optim.Optimizer, recipe: Recipe, total: int) -> None:
        self._optimiser = optimiser
        self._peak = max(1, int(total * recipe.warm_up))
        self._total = total
        self._rates = _rates(recipe)

    def set(self, step: int) -> None:
        if step < self._peak:
            factor = 0.2 + 0.8 * step / self._peak
        else:
            factor = 1 - 0.93 * (step - self._peak) / (self._total - self._peak)
        for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor


def _rates(recipe: Recipe) -> tuple[float, float]:
    """Learning rates of biases and of weights, for losses summed over a batch."""
    rate = recipe.learning_rate / (1024 * (1 + 1 / (1 - recipe.momentum)))
    return rate * recipe.bias_factor, rate


def _optimiser(network: Network, recipe: Recipe) -> torch.optim.SGD:
    decay = recipe.weight_decay * recipe.batch / (1024 * (1 + 1 / (1 - recipe.momentum)))
    learnt = [(name, parameter) for name, parameter in network.named_parameters() if parameter.requires_grad]
    biases = [parameter for name, parameter in learnt if name.endswith("bias")]
    weights = [parameter for name, parameter in learnt if not name.endswith("bias")]
    bias_rate, rate = _rates(recipe)
    # SGD multiplies the decay by the learning rate; dividing here keeps the decay as strong for both groups.
    groups = [
        {"params": biases, "lr": bias_rate, "weight_decay": decay / bias_rate},
        {"params": weights, "lr": rate, "weight_decay": decay / rate},
    ]
    return torch.optim.SGD(groups, momentum=recipe.momentum, nesterov=True)


def _start(
    dataset: Dataset, recipe: Recipe, work: Path, *, resume: bool
) -> tuple[Network, int, dict[str, Any] | None, Progress]:
    torch.manual_seed(recipe.seed)
    network = Network(len(dataset.classes), recipe.widths)
    path = work / CHECKPOINT
    if not resume or not path.exists():
        sample = torch.from_numpy(dataset.train.images[:: max(1, len(dataset.train.images) // 5000)])
        network.fit_whitening(normalise(sample.permute(0, 3, 1, 2)))
        return network, 0, None, Progress()
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise CheckpointError(f"{path} is not a checkpoint") from error
    if stored.get("made_from") != _made_from(recipe, dataset):
        raise CheckpointError(f"{path} is of another seed, recipe or archive; remove it or choose another work folder")
    network.load_state_dict(stored["network"])
    return network, stored["epochs"], stored, Progress(**stored["progress"])


def _made_from(recipe: Recipe, dataset: Dataset) -> dict[str, Any]:
    return {
        "format": _CHECKPOINT_FORMAT,
        "data": dataset.sha256,
        "recipe": {**asdict(recipe), "widths": list(recipe.widths)},
    }


def _save(path: Path, state: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    torch.save(state, unfinished)
    unfinished.replace(path)


def _floats(network: nn.Module) -> dict[str, Tensor]:
    """Parameters and running statistics, by name, without the counters of batches."""
    return {name: value for name, value in network.state_dict().items() if value.is_floating_point()}


def _generator(seed: int, stream: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + stream)


def _line(recipe: Recipe, progress: Progress) -> str:
    done = len(progress.seconds)
    left = (recipe.epochs - done) * sum(progress.seconds) / done
    return (
        f"epoch {done}/{recipe.epochs}  loss {progress.losses[-1]:.3f}  "
        f"training accuracy {progress.accuracies[-1]:.1%}  {progress.seconds[-1]:.0f} s  {left / 60:.0f} min left"
    )
