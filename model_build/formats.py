"""Accepted image formats and their decoding: parts of the manifest, so that evidence attests them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model_build import manifest
from model_build.manifest import DEFAULT_FORMATS, FORMATS
from model_build.precision import LEFT_OUT, unmeasured

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from model_build.manifest import AnyManifest, Format


def parse(text: str) -> tuple[Format, ...]:
    """Parse a list such as `jpeg,png,avif` into a manifest's order. Raises `ValueError` for another name."""
    names = {name.strip().lower() for name in text.split(",")}
    if not names <= set(FORMATS):
        raise ValueError(f"formats are {', '.join(FORMATS)}, separated by commas")
    return tuple(each for each in FORMATS if each in names)


def settle(
    directory: Path,
    formats: tuple[Format, ...] | None,
    *,
    dct_scaling: bool | None = None,
    copied: bool = False,
    say: Callable[[str], None] = lambda _line: None,
) -> AnyManifest:
    """Write `formats` and `dct_scaling` into the manifest of the model directory `directory`, and return it.

    None keeps the manifest's value, or else sets the default: JPEG, PNG and WebP, with DCT scaling. A `copied` manifest
    without `decoding` remains without it. If the decoding changes, the manifest loses the agreement that was measured
    with the other one, and `say` gets a line. Raises `ContractError`.
    """
    described = manifest.read(directory)
    formats = formats or described.formats or DEFAULT_FORMATS
    decoding = described.decoding or (None if copied else manifest.Decoding(dct_scaling=True))
    if dct_scaling is not None:
        decoding = manifest.Decoding(dct_scaling=dct_scaling)
    changed = described.model_copy(update={"formats": formats, "decoding": decoding})
    if described.precision is not None and _scales(described) != _scales(changed):
        precision = unmeasured(described.precision)
        if precision != described.precision:
            say(LEFT_OUT)
        changed = changed.model_copy(update={"precision": precision})
    if changed != described:
        (directory / manifest.FILE_NAME).write_bytes(changed.canonical())
    return changed


def _scales(described: AnyManifest) -> bool:
    return described.decoding is not None and described.decoding.dct_scaling
