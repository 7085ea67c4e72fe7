"""The bare loop: ONNX Runtime with its default options on a ready tensor, nothing else. A process of its own.

`python -m benchmarks.bare_loop MODEL_DIR PHOTO WARM_UP SECONDS` prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import onnxruntime as ort
import psutil

from benchmarks import usage
from photo_classifier import answer, manifest
from photo_classifier.decode import decode
from photo_classifier.model import DISABLED_OPTIMIZERS


def main(model: Path, photo: Path, warm_up: float, seconds: float) -> dict[str, object]:
    """Run the model again and again for `seconds`; what a turn's generator prints, with the process's own usage."""
    files = manifest.read(model)
    tensor = files.preprocessing.tensor(decode(photo.read_bytes()))
    session = ort.InferenceSession(
        str(files.onnx), providers=["CPUExecutionProvider"], disabled_optimizers=DISABLED_OPTIMIZERS
    )
    feed = {files.manifest["input"]["name"]: tensor}

    latencies: list[float] = []
    process = {"bare loop": psutil.Process()}
    end = time.perf_counter() + warm_up
    while time.perf_counter() < end:
        logits = session.run(None, feed)[0]
    before = usage.snapshot(process)
    started = time.perf_counter()
    while (begun := time.perf_counter()) < started + seconds:
        logits = session.run(None, feed)[0]
        latencies.append(time.perf_counter() - begun)
    elapsed = time.perf_counter() - started
    after = usage.snapshot(process)
    return {
        "seconds": elapsed,
        "latencies": latencies,
        "stages": {},
        "predictions": answer.rank(logits[0], files.labels, 5),
        "usage": usage.between(before, after, elapsed),
        "memory": usage.memory(process),
    }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))))
