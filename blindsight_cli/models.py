"""Which model serves: the one given, else the pretrained ResNet50, else the project's own offline model."""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer

from blindsight import files, strict_json
from blindsight_cli import units
from blindsight_cli.console import err, fail

_RESNET50 = "resnet50"
_TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
_HOW = "ResNet50: run once with network access, or give MODEL=path/to/model.onnx"


@dataclass(frozen=True)
class Chosen:
    """A model directory, and what the user should know about the choice."""

    folder: Path
    remark: str = ""

    @property
    def manifest(self) -> dict[str, Any]:
        manifest: dict[str, Any] = strict_json.loads((self.folder / "model.json").read_bytes())
        return manifest


def choose(state: Path, model: Path | None, formats: str | None = None) -> Chosen:
    """Find or build the model directory to serve; with `formats`, one that takes those. Exits if there is none."""
    chosen = _choose(state, model)
    if formats is None:
        return chosen
    folder = state / "models" / "with-formats"
    units.run("model_build", "build", "--directory", str(chosen.folder), "--formats", formats, "--out", str(folder))
    return replace(chosen, folder=folder)


def _choose(state: Path, model: Path | None) -> Chosen:
    if model is not None:
        return Chosen(_given(state, model))
    pretrained = state / "models" / _RESNET50
    if (pretrained / "model.json").exists():
        return Chosen(pretrained)
    if _quietly("available") and _build_pretrained(state, pretrained):
        return Chosen(pretrained)
    offline = _offline_model()
    if offline is None:
        fail("the pretrained weights cannot be had and no offline model is installed", _HOW)
    return Chosen(offline, f"The pretrained weights cannot be had now, so the small offline model serves. {_HOW}.")


def _given(state: Path, model: Path) -> Path:
    if (model / "model.json").exists():
        return model
    if not model.is_file():
        fail(f"there is no model at {model}", "give an ONNX file or a model directory")
    with files.opened(model) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    folder = state / "models" / f"{model.stem}-{digest[:16]}"
    if not (folder / "model.json").exists():
        units.run("model_build", "build", "--onnx", str(model), "--out", str(folder))
    return folder


def _build_pretrained(state: Path, folder: Path) -> bool:
    """Fetch the weights and export them; False, with the reason on screen, if that fails."""
    python = sys.executable
    if importlib.util.find_spec("torch") is None:
        python = str(_build_environment(state))
    try:
        units.run("model_build", "build", "--out", str(folder), python=python)
    except typer.Exit:
        err.print("The pretrained model could not be built; see above.", style="yellow")
        return False
    return True


def _build_environment(state: Path) -> Path:
    """An environment of its own for the export: torch is 200 MB that serving does not need."""
    folder = state / "build-environment"
    python = folder / "bin" / "python"
    if importlib.util.find_spec("torch") is None and not (folder / "ready").exists():
        err.print("Installing torch for the export, once (about 200 MB)…")
        locked = units.SOURCE / "requirements"
        install = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            # Of that index torch alone is wanted: a package of another name there would go before PyPI's.
            [*install, "--retries", "1", "--index-url", _TORCH_INDEX, "--requirement", str(locked / "torch.txt")],
            [*install, "--requirement", str(locked / "model-build.txt")],
        ):
            if subprocess.run(command, check=False).returncode:
                fail(
                    "the environment for the export could not be installed",
                    "see above, or give MODEL=path/to/model.onnx",
                )
        (folder / "ready").touch()
    return python


def _quietly(command: str) -> bool:
    units.require("model_build")
    done = subprocess.run([sys.executable, "-m", "model_build", command], check=False, capture_output=True)
    return done.returncode == 0


def _offline_model() -> Path | None:
    found = importlib.util.find_spec("model_build")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent / "offline_model"
    return folder if (folder / "model.json").exists() else None
