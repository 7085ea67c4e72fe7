"""The wheel, always the same bytes: hatchling builds it, and its entries are stored anew.

Hatchling fixes the entries' order and times. What is left to the machine is the compression, which differs between
builds of zlib, and the modes of the source files. So entries are stored, with one mode and one time.
"""

from __future__ import annotations

import stat
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from release_build.source import run

_TIME: Final = (2020, 2, 2, 0, 0, 0)
"""Hatchling's own, where SOURCE_DATE_EPOCH does not say another."""
_REGULAR_0644: Final = (stat.S_IFREG | 0o644) << 16
_UNIX: Final = 3


def build(out: Path) -> Path:
    """Build the wheel into the folder `out`. Raises `ReleaseBuildError`."""
    with tempfile.TemporaryDirectory(prefix="blindsight-wheel-") as folder:
        run("-m", "hatchling", "build", "--target", "wheel", "--directory", folder)
        (built,) = Path(folder).glob("*.whl")
        store(built, out / built.name)
    return out / built.name


def store(wheel: Path, out: Path) -> None:
    """Write the entries of `wheel` to `out` without compression, in their order: RECORD stays the last."""
    with zipfile.ZipFile(wheel) as compressed, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as stored:
        for info in compressed.infolist():
            entry = zipfile.ZipInfo(info.filename, _TIME)
            entry.create_system = _UNIX
            entry.external_attr = _REGULAR_0644
            stored.writestr(entry, compressed.read(info))
