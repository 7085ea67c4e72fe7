"""Tiny models whose right answers are known, the function loaded on them, and pictures of every kind."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.support import images, models
from tests.support.models import TinyModel, write_tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

SOURCE = Path(__file__).resolve().parents[2] / "enclave_function"


@pytest.fixture(scope="session")
def write_manifest() -> Callable[..., None]:
    """Write the `model.json` of an ONNX file and a label file in a folder."""
    return models.write_manifest


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
        labels = labels or [f"class {index}" for index in range(classes)]
        return write_tiny_model(folder, weights, bias, labels)

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
    return images.encode


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
