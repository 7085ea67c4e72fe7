"""What a training run measured, as JSON in its work folder: the source of the model card, and for comparing runs."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from model_build.offline.evaluate import Evaluation
    from model_build.offline.loop import Progress, Recipe

FILE_NAME = "record.json"


@dataclass(frozen=True)
class Member:
    """One network's training."""

    recipe: Recipe
    progress: Progress


@dataclass(frozen=True)
class Record:
    """The networks' trainings and the evaluation of all together. `hardware` is that of the process that finished."""

    seed: int
    members: tuple[Member, ...]
    evaluation: Evaluation
    classes: tuple[str, ...]
    archive_sha256: str
    training_pictures: int
    model_digest: str
    hardware: str

    def write(self, path: Path) -> None:
        content: dict[str, Any] = asdict(self)
        content["accuracy"] = self.evaluation.accuracy
        content["class_accuracies"] = dict(zip(self.classes, self.evaluation.class_accuracies, strict=True))
        path.write_text(json.dumps(content, indent=2) + "\n")


def hardware(device: str) -> str:
    """What a training on `device` runs on, in words."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} threads on {_processor()}"


def _processor() -> str:
    """The processor's model: as Linux tells it, else only its architecture."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()} ({platform.machine()})"
    return platform.machine()
