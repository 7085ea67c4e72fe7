"""Writing the trained network as a model directory: the ONNX graph, the labels, `model.json`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

from model_build import labels, onnx_file
from model_build.check import compare
from model_build.contract import Classifier, check_contract
from model_build.errors import ContractError
from model_build.export import export_onnx
from model_build.manifest import (
    DEFAULT_FORMATS,
    FILE_NAME,
    Labels,
    Manifest,
    Onnx,
    Output,
    Weights,
    file_sha256,
    installed_versions,
)
from model_build.offline.data import PREPROCESSING
from model_build.offline.network import OfflineModel, eight_bits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn

    from model_build.offline.network import Network

ONNX_FILE = "offline.onnx"
LABEL_FILE = "cifar10_classes.txt"
_LARGE = 1024
"""Values from which on it pays to store a tensor as bytes."""
LARGEST_ONNX = 5_000_000
"""Bytes. The file is kept in the repository."""

NAME = "offline-cifar10"
VERSION = "2"
NOTICE = (
    "OFFLINE MODEL: a small one that knows ten classes only. For ImageNet's 1000, run once with network access, or give"
    " MODEL=path/to/model.onnx."
)


def export(networks: Sequence[Network], classes: tuple[str, ...], seed: int, out: Path) -> tuple[Manifest, Classifier]:
    """Write the model directory `out` of the networks together and return its manifest and the graph, loaded.

    Raises `ContractError` and `DifferenceError`; the manifest is written last, so without one `out` holds no model.
    """
    out.mkdir(parents=True, exist_ok=True)
    (out / FILE_NAME).unlink(missing_ok=True)
    path = out / ONNX_FILE
    module = OfflineModel([network.folded() for network in networks]).eval()
    export_onnx(module, path)
    store_eight_bits(path)
    if path.stat().st_size > LARGEST_ONNX:
        raise ContractError(
            f"{path} has {path.stat().st_size} bytes, more than {LARGEST_ONNX}", "train a narrower network"
        )
    classifier = check_contract(path)
    compare_with_torch(module, classifier)
    labels.write(out / LABEL_FILE, classes)
    manifest = Manifest(
        name=NAME,
        version=VERSION,
        trained=True,
        weights=Weights(name=f"{NAME}-seed{seed}", sha256=state_sha256(module)),
        onnx=Onnx(file=ONNX_FILE, sha256=file_sha256(path), bytes=path.stat().st_size, opset=onnx_file.opset(path)),
        output=Output(shape=("N", len(classes))),
        preprocessing=PREPROCESSING,
        labels=Labels(file=LABEL_FILE, count=len(classes), sha256=file_sha256(out / LABEL_FILE)),
        formats=DEFAULT_FORMATS,
        versions=installed_versions("onnx", "onnxruntime", "onnxscript", "torch"),
        notice=NOTICE,
    )
    (out / FILE_NAME).write_bytes(manifest.canonical())
    return manifest, classifier


def store_eight_bits(path: Path) -> None:
    """Store the large weights of an ONNX file as bytes where that loses nothing; the graph multiplies them back.

    A cast and a product of constants, which ONNX Runtime folds when it loads the graph, and not DequantizeLinear, which
    it would keep for operators on integers.
    """
    model = onnx.load(path)
    nodes, scales_of = [], []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < _LARGE or values.ndim != 4:
            continue
        levels, scales = eight_bits(values)
        if not np.array_equal(levels * scales, values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(levels.astype(np.int8), f"{name}.levels"))
        scales_of.append(numpy_helper.from_array(scales, f"{name}.scales"))
        nodes.append(helper.make_node("Cast", [f"{name}.levels"], [f"{name}.cast"], to=onnx.TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [f"{name}.cast", f"{name}.scales"], [name]))
    model.graph.initializer.extend(scales_of)
    nodes.extend(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    path.write_bytes(model.SerializeToString(deterministic=True))


def compare_with_torch(module: OfflineModel, classifier: Classifier) -> float:
    """The largest difference of logits from torch's, in parts of their range. Raises `DifferenceError` above 1e-4."""
    pictures = torch.randn(7, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        reference = module(pictures).numpy()
    return compare(reference, classifier.logits(pictures.numpy()))


def state_sha256(network: nn.Module) -> str:
    """SHA-256 over the state's tensors in order of name: name, shape, values (as `model_build.export.untrained`)."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
