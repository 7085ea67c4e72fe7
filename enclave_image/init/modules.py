"""The kernel's modules that the image brings, by the list that it was built with."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from enclave_image.init import system_calls

FOLDER: Final = Path("/usr/lib/enclave/modules")
LIST: Final = "load"
"""One file name a line, in the order in which they are loaded."""


def load_all(folder: Path = FOLDER) -> list[str]:
    """Load them; returns their names. Raises `OSError` that names the file."""
    names = (folder / LIST).read_text(encoding="ascii").split()
    for name in names:
        system_calls.load_module(str(folder / name))
    return names
