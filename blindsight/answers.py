"""What a model's manifest says of its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def is_multi_label(manifest: Mapping[str, Any]) -> bool:
    """Whether each class is scored by itself (sigmoid), so that several can be right, or none.

    Otherwise the scores of all classes sum to 1. `manifest` is not trusted to be well formed.
    """
    output = manifest.get("output")
    return isinstance(output, dict) and output.get("activation") == "sigmoid"


def precision(manifest: Mapping[str, Any]) -> str:
    """The arithmetic of the model, such as `int8`; `float32` if the manifest has no `precision`.

    `manifest` is not trusted to be well formed: `unknown` stands for a `precision` without a name.
    """
    if "precision" not in manifest:
        return "float32"
    stated = manifest["precision"]
    name = stated.get("name") if isinstance(stated, dict) else None
    return name if isinstance(name, str) else "unknown"
