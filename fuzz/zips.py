"""Zip archives with reproducible bytes."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def zipped(files: Mapping[str, bytes], *, stored: bool = False, mode: int = 0o100644) -> bytes:
    """An archive of `files`, name to content, with fixed times. `stored`: not compressed. `mode`: as in stat(2)."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = mode << 16
            entry.compress_type = zipfile.ZIP_STORED if stored or not content else zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return written.getvalue()
