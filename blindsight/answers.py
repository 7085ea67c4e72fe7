"""What a model's scores mean, by its manifest."""

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
