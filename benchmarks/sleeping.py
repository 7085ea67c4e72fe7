"""Bundles of the function that waits instead of computing, or answers at once: `sleeping_app.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks.processes import ROOT
from enclave_function.bundle import archive
from enclave_function.bundle.reader import manifest_files

if TYPE_CHECKING:
    from pathlib import Path

_APP: Final = ROOT / "benchmarks" / "sleeping_app.py"


def bundled(model: Path, seconds: float, out: Path) -> Path:
    """Write the bundle of the function that waits for `seconds`, with the files of the model directory `model`."""
    manifest = (model / "model.json").read_bytes()
    files = {"model.json": manifest} | {name: (model / name).read_bytes() for name in manifest_files(manifest)}
    with out.open("wb") as file:
        archive.write(file, files | {"app.py": _APP.read_bytes(), "seconds.txt": f"{seconds:g}\n".encode()})
    return out
