"""The bare loop: one ONNX Runtime session with default options, run on a ready tensor. A process of its own.

`python -m benchmarks.bare_loop MODEL_DIR PHOTO` reads the JSON object of one turn from each line of its input and
prints its result, in the form of the load generator (`benchmarks.load`).
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.classifier import Classifier

if TYPE_CHECKING:
    from photo_classifier.contract import Array


def turn(classifier: Classifier, tensor: Array, warm_up: float, seconds: float) -> dict[str, Any]:
    """Run the model repeatedly for `warm_up` and then `seconds` seconds. `tensor`: one input, (1, ...).

    Returns a result in the form of `load.turn`, with one crowd of one caller; latencies in milliseconds.
    """
    latencies: list[float] = []
    end = time.perf_counter() + warm_up
    while time.perf_counter() < end:
        classifier.run(tensor)
    print("begin", flush=True)
    started = time.perf_counter()
    while (begun := time.perf_counter()) < started + seconds:
        output = classifier.run(tensor)
        latencies.append(round(1000 * (time.perf_counter() - begun), 3))
    elapsed = time.perf_counter() - started
    print("end", flush=True)
    crowd = {"callers": 1, "answers": len(latencies), "images": len(latencies), "refused": 0, "other": 0,
             "latencies_ms": latencies, "stages_ms": {}, "predictions": classifier.predictions(output)}  # fmt: skip
    return {"seconds": elapsed, "generator_cpu_seconds": None, "crowds": [crowd]}


def main() -> None:
    """Perform one turn for each line, until the input ends."""
    classifier = Classifier(Path(sys.argv[1]))
    tensor = classifier.tensor(Path(sys.argv[2]).read_bytes())
    print("ready", flush=True)
    for line in sys.stdin:
        spec = json.loads(line)
        print(json.dumps(turn(classifier, tensor, spec["warm_up"], spec["seconds"])), flush=True)


if __name__ == "__main__":
    main()
