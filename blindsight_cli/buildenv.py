"""The Python that exports and quantises: this one, or that of an environment of its own, made once."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Final

from blindsight_cli import units
from blindsight_cli.console import err

_TORCH_INDEX: Final = "https://download.pytorch.org/whl/cpu"


def with_torch(state: Path) -> Path | None:
    """The Python for the export: torch is 200 MB that serving does not need. None, with the reason on screen, if it
    cannot be installed."""
    if importlib.util.find_spec("torch") is not None:
        return Path(sys.executable)
    return _environment(state / "build-environment", "torch for the export, once (about 200 MB)", torch=True)


def with_onnx(state: Path) -> Path | None:
    """The Python that quantises, as `with_torch`; that one serves for it where it is there."""
    if importlib.util.find_spec("onnx") is not None:
        return Path(sys.executable)
    exporting = state / "build-environment"
    if (exporting / "ready").exists():
        return exporting / "bin" / "python"
    return _environment(state / "quantise-environment", "what quantises, once (about 150 MB)", torch=False)


def _environment(folder: Path, what: str, *, torch: bool) -> Path | None:
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        err.print(f"Installing {what}…")
        locked = units.SOURCE / "requirements"
        install = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
        # Of that index torch alone is wanted: a package of another name there would go before PyPI's.
        index = [[*install, "--retries", "1", "--index-url", _TORCH_INDEX, "--requirement", str(locked / "torch.txt")]]
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            *(index if torch else ()),
            [*install, "--requirement", str(locked / "model-build.txt")],
        ):
            if subprocess.run(command, check=False, start_new_session=True).returncode:
                return None
        (folder / "ready").touch()
    return python
