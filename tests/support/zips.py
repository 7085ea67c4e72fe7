"""Bundles that are not what they were: changed in one place, whole otherwise."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def with_changed_code(bundle: Path, target: Path) -> Path:
    """A copy of `bundle` in which one byte of one comment or docstring of the function's code differs."""
    with zipfile.ZipFile(bundle) as source:
        code = source.read("app.py")
    assert b"The deployed function" in code
    return with_files(bundle, target, {"app.py": code.replace(b"The deployed function", b"The deployed functiom")})


def with_files(bundle: Path, target: Path, changes: Mapping[str, bytes | None]) -> Path:
    """A copy of `bundle` with other contents for some of its files; None leaves a file out."""
    with zipfile.ZipFile(bundle) as source, zipfile.ZipFile(target, "w") as sink:
        for entry in source.infolist():
            content = changes.get(entry.filename, source.read(entry))
            if content is not None:
                sink.writestr(entry, content)
        for name, content in changes.items():
            if name not in source.namelist() and content is not None:
                sink.writestr(name, content)
    return target
