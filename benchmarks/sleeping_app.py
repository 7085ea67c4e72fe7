"""A function that waits instead of computing, deployed as `app.py`: enclaves of it share a machine as if each had one.

`seconds.txt` beside it says for how long.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

_HERE = Path(__file__).resolve().parent
MODEL: dict[str, Any] = json.loads((_HERE / "model.json").read_text("utf-8"))
TOP_K = 5

_SECONDS = float((_HERE / "seconds.txt").read_text("utf-8"))
_LABELS = (_HERE / MODEL["labels"]["file"]).read_text("utf-8").split("\n")
_ANSWER: dict[str, Any] = {
    "predictions": [
        {"rank": rank, "class_id": rank - 1, "label": _LABELS[rank - 1], "score": 0.2} for rank in range(1, 6)
    ],
    "image": {"width": 1, "height": 1},
    "timings_ms": {"decode": 0.0, "preprocess": 0.0, "run": 1000 * _SECONDS},
}


def ready() -> dict[str, Any]:
    """The manifest's model, without loading it; the members are those of the classifier's `ready`."""
    return {
        "model": {key: MODEL[key] for key in ("name", "version", "trained")},
        "classes": MODEL["labels"]["count"],
        "formats": ["jpeg"],
        "threads": [1],
    }


def classify(data: bytes, *, top_k: int = TOP_K, threads: int = 1) -> dict[str, Any]:  # noqa: ARG001 -- the runtime's
    """Wait, and return the same five classes for every input."""
    if _SECONDS:
        time.sleep(_SECONDS)
    return _ANSWER
