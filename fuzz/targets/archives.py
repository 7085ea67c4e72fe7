"""Harness for function bundles: zip archives are checked and unpacked into a folder."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from enclave_runtime import archive
from enclave_runtime.archive import BadBundle
from fuzz.target import Target
from fuzz.zips import zipped

if TYPE_CHECKING:
    import zipfile

_MOST = 64 * 1024
"""Maximum size that an archive may announce here, so that zip bombs have to be detected before they are unpacked."""


def run(data: bytes) -> None:
    """Check that an accepted archive gives only plain files inside the folder, of at most the announced size."""
    with (
        mock.patch.multiple(archive, MAX_UNPACKED_BYTES=_MOST, MAX_DIRECTORY_BYTES=_MOST, MAX_ENTRIES=20),
        tempfile.TemporaryDirectory(dir=archive.memory()) as outer,
        archive.opened(io.BytesIO(data)) as opened,
    ):
        folder = Path(outer) / "function"
        folder.mkdir()
        _unpack(opened, folder)
        found = [path for path in Path(outer).rglob("*") if path != folder]
        assert all(path.is_relative_to(folder) and not path.is_symlink() for path in found)
        assert sum(path.stat().st_size for path in found if path.is_file()) <= _MOST


def _unpack(opened: zipfile.ZipFile, folder: Path) -> None:
    announced = archive.check(opened)
    archive.unpack(opened, folder)
    for entry in announced:
        if not entry.is_dir():
            assert (folder / entry.filename).stat().st_size <= entry.file_size


def seeds() -> dict[str, bytes]:
    """A bundle, and archives that are refused, by name."""
    return {
        "bundle": zipped({"app.py": b"print()\n" * 20, "model.json": b"{}", "folder/": b"", "folder/a": b"a"}),
        "stored": zipped({"app.py": b"print()\n"}, stored=True),
        "leaves": zipped({"../app.py": b""}),
        "absolute": zipped({"/app.py": b""}),
        "twice": zipped({"a": b"1", "a/b": b"2"}),
        "link": zipped({"link": b"/etc/passwd"}, mode=0o120777),
        "bomb": zipped({"zeros": bytes(_MOST + 1)}),
        "empty": zipped({}),
    }


TARGET = Target(
    run, (BadBundle,), seeds, max_bytes=1500, base_bytes=1 << 20, words=(b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06")
)
