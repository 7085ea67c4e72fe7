"""Which image formats a model takes: a part of its manifest, so that evidence attests it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model_build import manifest
from model_build.manifest import DEFAULT_FORMATS, FORMATS

if TYPE_CHECKING:
    from pathlib import Path

    from model_build.manifest import AnyManifest, Format


def parse(text: str) -> tuple[Format, ...]:
    """The formats of a list such as `jpeg,png,avif`, in a manifest's order. Raises `ValueError` for any other name."""
    names = {name.strip().lower() for name in text.split(",")}
    if not names <= set(FORMATS):
        raise ValueError(f"formats are {', '.join(FORMATS)}, separated by commas")
    return tuple(each for each in FORMATS if each in names)


def settle(directory: Path, formats: tuple[Format, ...] | None) -> AnyManifest:
    """Write `formats` into the manifest of a model directory; without any, the default if it states none."""
    described = manifest.read(directory)
    formats = formats or described.formats or DEFAULT_FORMATS
    if formats == described.formats:
        return described
    changed = described.model_copy(update={"formats": formats})
    (directory / manifest.FILE_NAME).write_bytes(changed.canonical())
    return changed
