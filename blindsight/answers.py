"""Properties of a model's answers, from its manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

UNKNOWN: Final = "unknown"
"""The precision of a manifest that states one without a name."""


def is_multi_label(manifest: Mapping[str, Any]) -> bool:
    """Whether each class has an independent score (sigmoid), so that several can be right, or none.

    Otherwise the scores of all classes sum to 1. `manifest` may be malformed.
    """
    output = manifest.get("output")
    return isinstance(output, dict) and output.get("activation") == "sigmoid"


def precision(manifest: Mapping[str, Any]) -> str:
    """The arithmetic of the model, such as `int8`; `float32` if the manifest has no `precision`.

    `manifest` may be malformed: the result is `UNKNOWN` for a `precision` without a name.
    """
    if "precision" not in manifest:
        return "float32"
    stated = manifest["precision"]
    name = stated.get("name") if isinstance(stated, dict) else None
    return name if isinstance(name, str) else UNKNOWN
