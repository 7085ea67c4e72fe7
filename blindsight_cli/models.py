"""Which model serves: the one given, else the pretrained ResNet50, else the project's own offline model."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from blindsight import interrupt, strict_json
from blindsight_cli import buildenv, quantised, units
from blindsight_cli.console import err, fail
from blindsight_cli.modelpath import MANIFEST, directory

_RESNET50 = "resnet50"
_HOW = "ResNet50: run once with network access, or give MODEL=path/to/model.onnx"


@dataclass(frozen=True)
class Chosen:
    """The manifest of the model in a bundle, and what the user should know about the choice."""

    manifest: dict[str, Any]
    remark: str = ""


@dataclass(frozen=True)
class Asked:
    """What the user asks for: an ONNX file or a model directory, and how it is to be served.

    `formats` and `options` are as for `modelpath.directory`, `precision` and `images` as for `quantised.variant`.
    """

    model: Path | None
    formats: str | None = None
    options: str | None = None
    precision: str | None = None
    images: Path | None = None


def bundle(state: Path, asked: Asked, out: Path) -> Chosen:
    """Find or build the model to serve and write its function bundle to `out`.

    Exits with one line if that fails.
    """
    if asked.options and asked.model is None:
        fail("model options say what an ONNX file takes and gives, and none is given", "give MODEL=path/to/model.onnx")
    chosen, remark = (asked.model, "") if asked.model is not None else _default(state)
    with directory(chosen, scratch=state / "models", formats=asked.formats, options=asked.options) as folder:
        served = quantised.variant(state, folder, asked.precision, asked.images)
        units.run("enclave_function", "bundle", "build", "--model", str(served), "--out", str(out))
    with zipfile.ZipFile(out) as archive:
        return Chosen(strict_json.loads(archive.read(MANIFEST)), remark)


def _default(state: Path) -> tuple[Path, str]:
    """The model directory where none is asked for, and a remark on it."""
    pretrained = state / "models" / _RESNET50
    if (pretrained / MANIFEST).exists():
        return pretrained, ""
    if _quietly("available") and _build_pretrained(state, pretrained):
        return pretrained, ""
    offline = _offline_model()
    if offline is None:
        fail("the pretrained weights cannot be had and no offline model is installed", _HOW)
    return offline, f"The pretrained weights cannot be had now, so the small offline model serves. {_HOW}."


def _build_pretrained(state: Path, folder: Path) -> bool:
    """Fetch the weights and export them; False, with the reason on screen, if that fails."""
    python = buildenv.with_torch(state)
    if python is None:
        err.print("The packages for the export could not be installed; see above.", style="yellow")
        return False
    try:
        units.run("model_build", "build", "--out", str(folder), python=str(python))
    except typer.Exit as ended:
        if ended.exit_code == interrupt.EXIT_STATUS:
            raise
        err.print("The pretrained model could not be built; see above.", style="yellow")
        return False
    return True


def _quietly(command: str) -> bool:
    units.require("model_build")
    arguments = [sys.executable, "-m", "model_build", command]
    done = subprocess.run(arguments, check=False, capture_output=True, start_new_session=True)
    return done.returncode == 0


def _offline_model() -> Path | None:
    found = importlib.util.find_spec("model_build")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "offline_model"
    return folder if (folder / MANIFEST).exists() else None
