"""Images with the real packages, and machines that boot them. The first build fetches some 70 MB."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from enclave_function.bundle import build as build_bundle
from tests.support.nitro_machine import Tools

if TYPE_CHECKING:
    from enclave_function.bundle import BundleInfo

# An emulated processor takes some ten seconds for a photo, and twice that on a busy machine.
OPTIONS = ("--variant", "classifier", "--workers", "1", "--call-seconds", "110")
REPOSITORY = Path(__file__).resolve().parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("boot")
            item.add_marker(pytest.mark.timeout(1800))


@dataclass(frozen=True)
class Built:
    image: Path
    description: dict[str, Any]
    bundle: Path
    function: BundleInfo


@pytest.fixture(scope="session")
def tools() -> Tools:
    found = Tools.find()
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture(scope="session")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where logs and reports are kept: `BLINDSIGHT_ARTEFACTS`, else pytest's own folder."""
    given = os.environ.get("BLINDSIGHT_ARTEFACTS")
    folder = Path(given) if given else tmp_path_factory.mktemp("artefacts")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def build_image(out: Path, bundle: Path, *arguments: str, cwd: Path = REPOSITORY, **variables: str) -> dict[str, Any]:
    """What an operator types."""
    options = ["--bundle", str(bundle), "--out", str(out), "--json", *arguments]
    command = [sys.executable, "-m", "enclave_image", "build", *options]
    environment = {**os.environ, "PYTHONPATH": str(cwd), **variables}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    description: dict[str, Any] = json.loads(done.stdout)
    return description


@pytest.fixture(scope="session")
def built(tools: Tools, assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The classifier's image with the trained MobileNetV2."""
    from model_build.build import import_onnx

    folder = tmp_path_factory.mktemp("image")
    import_onnx(folder / "model", assets / "models" / "mobilenet_v2_imagenet.onnx")
    bundle = folder / "function.zip"
    function = build_bundle(folder / "model", bundle)
    image = folder / "enclave.eif"
    description = build_image(image, bundle, *OPTIONS)
    return Built(image, description, bundle, function)
