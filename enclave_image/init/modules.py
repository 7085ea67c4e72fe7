"""Loads the kernel modules in the image, in the order of the list that the builder wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from enclave_image.init import system_calls

FOLDER: Final = Path("/usr/lib/enclave/modules")
LIST: Final = "load"
"""File with one module file name on each line, in the order of loading."""


def load_all(folder: Path = FOLDER) -> list[str]:
    """Load all modules, and return their file names. Raises `OSError` that names the file."""
    names = (folder / LIST).read_text(encoding="ascii").split()
    for name in names:
        system_calls.load_module(str(folder / name))
    return names
