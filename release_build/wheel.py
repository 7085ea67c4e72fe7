"""Builds the wheel reproducibly: hatchling builds it, and its entries are then stored anew without compression.

Hatchling fixes the order and times of the entries. The compressed bytes still differ between versions of zlib, and the
modes are those of the source files. Therefore entries are stored uncompressed, with one mode and one time. The format
is the binary distribution format of the PyPA specifications (PEP 427).
"""

from __future__ import annotations

import stat
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from release_build.source import run

_TIME: Final = (2020, 2, 2, 0, 0, 0)
"""Hatchling's default, which it uses if SOURCE_DATE_EPOCH is not set."""
_REGULAR_0644: Final = (stat.S_IFREG | 0o644) << 16
_UNIX: Final = 3


def build(out: Path) -> Path:
    """Build the wheel into the folder `out`, and return its path. Raises `ReleaseBuildError` if hatchling fails."""
    with tempfile.TemporaryDirectory(prefix="blindsight-wheel-") as folder:
        run("-m", "hatchling", "build", "--target", "wheel", "--directory", folder)
        (built,) = Path(folder).glob("*.whl")
        store(built, out / built.name)
    return out / built.name


def store(wheel: Path, out: Path) -> None:
    """Write the entries of `wheel` to `out` without compression, in the same order, since RECORD should be the last.

    Raises `zipfile.BadZipFile`, `OSError`.
    """
    with zipfile.ZipFile(wheel) as compressed, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as stored:
        for info in compressed.infolist():
            entry = zipfile.ZipInfo(info.filename, _TIME)
            entry.create_system = _UNIX
            entry.external_attr = _REGULAR_0644
            stored.writestr(entry, compressed.read(info))
