"""Tiny models whose right answers are known, the function loaded on them, and pictures of every kind."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

SOURCE = Path(__file__).resolve().parents[2] / "enclave_function"


@dataclass(frozen=True)
class TinyModel:
    """`logits = weights @ (mean of the tensor over the picture) + bias`; weights (classes, 3), bias (classes,)."""

    folder: Path
    weights: np.ndarray
    bias: np.ndarray
    labels: list[str]

    def logits(self, tensor: np.ndarray) -> np.ndarray:
        return tensor.astype(np.float64).mean(axis=(2, 3)) @ self.weights.T.astype(np.float64) + self.bias

    def scores(self, tensor: np.ndarray) -> np.ndarray:
        exponents = np.exp(self.logits(tensor))
        return exponents / exponents.sum(axis=1, keepdims=True)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_manifest(
    folder: Path, onnx_file: str, labels_file: str, *, name: str = "tiny", trained: bool = True
) -> None:
    count = len((folder / labels_file).read_text().splitlines())
    manifest = {
        "format": "blindsight-model/1",
        "name": name,
        "version": "1",
        "trained": True,
        "weights": {"name": name, "sha256": "0" * 64},
        "onnx": {
            "file": onnx_file,
            "sha256": sha256(folder / onnx_file),
            "bytes": (folder / onnx_file).stat().st_size,
            "opset": 17,
        },
        "input": {"name": "input", "shape": ["N", 3, 224, 224], "dtype": "float32"},
        "output": {"name": "output", "shape": ["N", count], "activation": "softmax"},
        "preprocessing": {
            "resize": 232,
            "crop": 224,
            "interpolation": "bilinear",
            "antialias": True,
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
        },
        "labels": {"file": labels_file, "count": count, "sha256": sha256(folder / labels_file)},
        "versions": {"onnx": onnx.__version__},
    }
    (folder / "model.json").write_text(json.dumps(manifest))


@pytest.fixture(scope="session")
def write_manifest() -> Callable[..., None]:
    """Write the `model.json` of an ONNX file and a label file in a folder."""
    return _write_manifest


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TinyModel]:
    def make(
        classes: int = 1000,
        *,
        labels: list[str] | None = None,
        weights: np.ndarray | None = None,
        bias: np.ndarray | None = None,
    ) -> TinyModel:
        folder = tmp_path_factory.mktemp("model")
        random = np.random.default_rng(classes)
        if weights is None:
            weights = random.standard_normal((classes, 3))
        if bias is None:
            bias = random.standard_normal(classes) / 10
        weights, bias = weights.astype(np.float32), bias.astype(np.float32)
        labels = labels or [f"class {index}" for index in range(classes)]
        graph = helper.make_graph(
            [
                helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
                helper.make_node("Flatten", ["pooled"], ["flat"]),
                helper.make_node("Gemm", ["flat", "weights", "bias"], ["output"], transB=1),
            ],
            "tiny",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", 3, 224, 224])],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["N", classes])],
            [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.save(model, folder / "tiny.onnx")
        (folder / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
        _write_manifest(folder, "tiny.onnx", "labels.txt")
        return TinyModel(folder, weights, bias, labels)

    return make


@pytest.fixture(scope="session")
def load_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., ModuleType]]:
    """Import `app.py` as it lies in a bundle, beside the files of a model directory, from another working folder."""
    names: list[str] = []

    def load(model: Path, **environment: str) -> ModuleType:
        folder = tmp_path_factory.mktemp("function")
        shutil.copytree(model, folder, dirs_exist_ok=True)
        shutil.copy(SOURCE / "app.py", folder)
        name = f"app_{folder.name}"
        spec = importlib.util.spec_from_file_location(name, folder / "app.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        names.append(name)
        with pytest.MonkeyPatch.context() as patch:
            for key in ("BLINDSIGHT_THREADS", "BLINDSIGHT_SHARED_WEIGHTS"):
                patch.delenv(key, raising=False)
            for key, value in environment.items():
                patch.setenv(key, value)
            patch.setitem(sys.modules, name, module)
            spec.loader.exec_module(module)
        return module

    yield load
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture(scope="session")
def tiny(make_model: Callable[..., TinyModel]) -> TinyModel:
    return make_model(1000)


@pytest.fixture(scope="session")
def app(tiny: TinyModel, load_app: Callable[..., ModuleType]) -> ModuleType:
    return load_app(tiny.folder)


@pytest.fixture(scope="session")
def photo() -> Image.Image:
    """A picture in which every corner, row and column differs, 90 x 60."""
    y, x = np.mgrid[0:60, 0:90]
    return Image.fromarray(np.stack([x * 2 + 20, y * 4, x + y], axis=2).astype(np.uint8))


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    def encode_as(image: Image.Image, image_format: str, **options: Any) -> bytes:
        buffer = io.BytesIO()
        image.save(buffer, image_format, **options)
        return buffer.getvalue()

    return encode_as


@pytest.fixture(scope="session")
def assets() -> Path:
    folder = os.environ.get("BLINDSIGHT_ASSETS")
    if not folder:
        pytest.skip("BLINDSIGHT_ASSETS is not set: no test photos and no trained model")
    return Path(folder)


@pytest.fixture(scope="session")
def torchvision_pixels() -> Callable[[Image.Image], np.ndarray]:
    """torchvision's resize to 232 and centre crop to 224 of a PIL image, as uint8 (224, 224, 3)."""
    import_torchvision = pytest.importorskip("model_build.torchvision_compat").import_torchvision
    pytest.importorskip("torch", reason="torchvision's transform is the reference; install the 'build' extra")
    import_torchvision()
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as F  # noqa: N812 -- torchvision's own convention

    def pixels(image: Image.Image) -> np.ndarray:
        resized = F.resize(image, [232], interpolation=InterpolationMode.BILINEAR, antialias=True)
        return np.asarray(F.center_crop(resized, [224]))

    return pixels
