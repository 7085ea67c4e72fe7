"""torchvision's ResNet50, trained or seeded, and its export to ONNX.

Needs torch and torchvision. `python -m model_build build --plain` writes exactly what `export_onnx` gives.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from model_build import lfs
from model_build.errors import WeightsError
from model_build.manifest import Preprocessing, Weights, file_sha256
from model_build.optimise import strip_metadata
from model_build.torchvision_compat import import_torchvision
from model_build.weights import RESNET50

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from PIL import Image

torchvision = import_torchvision()

OPSET = 18
"""The oldest operator set that torch's exporter writes without a conversion afterwards."""

_FILE_NAME_DIGEST = re.compile(r"-([0-9a-f]{8,64})\.pth$")
"""torch.hub's convention: a weights file's name ends with the first digits of its SHA-256."""


@dataclass(frozen=True)
class Network:
    """A ResNet50 in evaluation mode and what the manifest says of it. `transform` gives a tensor (3, 224, 224)."""

    module: torch.nn.Module
    weights: Weights
    version: str
    trained: bool
    preprocessing: Preprocessing
    transform: Callable[[Image.Image], torch.Tensor]
    categories: tuple[str, ...]


def trained(path: Path) -> Network:
    """Load ResNet50 with the weights file at `path`, torchvision's own or another state of the same network.

    torchvision's files are recognised by digest and get their name and transform; others get the default transform.
    Raises `WeightsError`.
    """
    with path.open("rb") as file:
        if lfs.is_pointer(file.read(lfs.POINTER_BYTES)):
            raise WeightsError(f"{path} is a Git LFS pointer, not the weights", lfs.FETCH)
    sha256 = file_sha256(path)
    announced = _FILE_NAME_DIGEST.search(path.name)
    if announced and not sha256.startswith(announced[1]):
        raise WeightsError(
            f"{path} is damaged: its name announces SHA-256 {announced[1]}..., it has {sha256}", "fetch it again"
        )
    module = torchvision.models.resnet50(weights=None)
    try:
        module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, pickle.UnpicklingError, EOFError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(
            f"{path} does not hold the weights of a torchvision ResNet50", "give another file"
        ) from error
    member = _published(sha256)
    default = torchvision.models.ResNet50_Weights.DEFAULT
    name, version = (str(member), str(member.name)) if member else (path.name, sha256[:12])
    return _network(module, Weights(name=name, sha256=sha256), version, trained=True, member=member or default)


def untrained(seed: int) -> Network:
    """Make ResNet50 with random weights drawn from `seed`, for machines that cannot get trained ones.

    Its `weights.sha256` is over the state's tensors in order of name: name, shape and little-endian values.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = torchvision.models.resnet50(weights=None)
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    weights = Weights(name=f"untrained, seed {seed}", sha256=digest.hexdigest())
    member = torchvision.models.ResNet50_Weights.DEFAULT
    return _network(module, weights, f"untrained-seed-{seed}", trained=False, member=member)


def export_onnx(module: torch.nn.Module, path: Path) -> None:
    """Write `module` as one ONNX file: `input` (N,3,224,224) float32 to `output` (N,K) logits, N free.

    The file depends only on the weights and the exporter's version: paths and stack traces are removed. Raises
    `RuntimeError` if the export fails, and `OSError`.
    """
    with warnings.catch_warnings():
        # torch.export of torch 2.13 copies its own deprecated LeafSpec.
        warnings.filterwarnings("ignore", message="`isinstance\\(treespec, LeafSpec\\)`", category=FutureWarning)
        program = torch.onnx.export(
            module.eval(),
            (torch.zeros(2, 3, 224, 224),),  # Two: a batch of one would be taken for a constant.
            input_names=["input"],
            output_names=["output"],
            dynamic_shapes=({0: torch.export.Dim("N")},),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    model = program.model_proto
    strip_metadata(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _network(module: torch.nn.Module, weights: Weights, version: str, *, trained: bool, member: Any) -> Network:  # noqa: ANN401 - a `ResNet50_Weights`; torchvision ships no types
    transform = member.transforms()
    preprocessing = Preprocessing(
        resize=transform.resize_size[0],
        crop=transform.crop_size[0],
        interpolation=transform.interpolation.value,
        antialias=transform.antialias,
        mean=tuple(transform.mean),
        std=tuple(transform.std),
    )
    categories = tuple(member.meta["categories"])
    return Network(module.eval(), weights, version, trained, preprocessing, transform, categories)


def _published(sha256: str) -> Any | None:  # noqa: ANN401 - as above
    """The `ResNet50_Weights` member that a weights file of this digest is, if any."""
    if sha256 == RESNET50.sha256:
        return torchvision.models.ResNet50_Weights.DEFAULT
    for member in torchvision.models.ResNet50_Weights:
        announced = _FILE_NAME_DIGEST.search(member.url)
        if announced and member.url != RESNET50.url and sha256.startswith(announced[1]):
            return member
    return None
