"""Enclave images for tests of releases: the golden ones, with descriptions as `blindsight eif build` writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from release_build.images import description_of

GOLDEN = Path(__file__).resolve().parents[1] / "vectors" / "eif"
EXPECTED = json.loads((GOLDEN / "expected.json").read_bytes())


def registers(name: str) -> dict[str, str]:
    return {index.removeprefix("PCR"): value for index, value in EXPECTED[name].items() if index.startswith("PCR")}


def built(folder: Path, function_checksum: str, name: str = "signed", /, **changes: Any) -> Path:
    """A golden image as its builder would leave it, with the description beside it; `changes` are of that."""
    folder.mkdir(exist_ok=True)
    image = folder / f"{name}.eif"
    image.write_bytes((GOLDEN / f"{name}.eif").read_bytes())
    described = {
        "format": "blindsight-image/1",
        "variant": "classifier",
        "pcrs": registers(name),
        "function_checksum": function_checksum,
        "kernel": {"name": "aws-6.6", "version": "6.6.38", "evidence": "nitro"},
        **changes,
    }
    description_of(image).write_text(json.dumps(described), encoding="utf-8")
    return image
