"""The precision in a manifest, and the arithmetic of its graph (`arithmetic`)."""

from __future__ import annotations

from typing import Any

from photo_classifier.arithmetic import FLOAT32, INT8, found

__all__ = ["FLOAT32", "INT8", "found", "stated"]


def stated(manifest: dict[str, Any]) -> str:
    """The precision in a manifest; `float32` if it has none.

    Raises `KeyError`, `TypeError` or `ValueError` for an invalid one.
    """
    if "precision" not in manifest:
        return FLOAT32
    name = manifest["precision"]["name"]
    if name not in {FLOAT32, INT8}:
        raise ValueError(f"precision {name!r}")
    return str(name)
