"""`python -m benchmarks.dct_scaling --model DIR --photos DIR`: time and effect on answers of DCT scaling.

Enlarges each photo to 12 megapixels, adds noise like a sensor's, stores it as JPEG, and classifies it decoded in full
and decoded with DCT scaling. Prints one JSON object; needs no running stack.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from photo_classifier.manifest import ModelFiles
    from photo_classifier.model import Model

FUNCTION = Path(__file__).parent.parent / "enclave_function"
PIXELS = 12_000_000
NOISE = 6.0
"""Standard deviation of the noise in grey levels: detail that enlargement does not create, and scaling removes."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dct_scaling", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="a model directory")
    parser.add_argument("--photos", type=Path, required=True, help="a folder with photos")
    options = parser.parse_args()
    sys.path.insert(0, str(FUNCTION))
    from photo_classifier import manifest, model  # noqa: PLC0415 -- the function's own folder

    files = manifest.read(options.model)
    classifier = model.load(files, thread_counts=(1,))
    resize = files.preprocessing.resize
    side = 2 * (resize if isinstance(resize, int) else max(resize))
    rows = [_compared(files, classifier, photo, side) for photo in _photos(options.photos)]
    print(json.dumps(_summary(rows)))
    return 0


def _photos(folder: Path) -> Iterator[bytes]:
    random = np.random.default_rng(0)
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in {".jpeg", ".jpg", ".png"}:
            continue
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        factor = (PIXELS / (image.width * image.height)) ** 0.5
        image = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.BICUBIC)
        noise = random.normal(0.0, NOISE, (image.height, image.width, 1)).astype(np.float32)
        noisy = Image.fromarray((np.asarray(image, np.float32) + noise).clip(0, 255).astype(np.uint8))
        out = io.BytesIO()
        noisy.save(out, "JPEG", quality=90)
        yield out.getvalue()


def _compared(files: ModelFiles, classifier: Model, photo: bytes, side: int) -> dict[str, Any]:
    from photo_classifier.answer import softmax  # noqa: PLC0415 -- as above
    from photo_classifier.decode import picture  # noqa: PLC0415 -- as above

    def prepared(least_side: int | None) -> NDArray[Any]:
        return files.input.of_picture(picture(photo, taken=("jpeg",), least_side=least_side), files.preprocessing)

    (whole, whole_seconds), (smaller, smaller_seconds) = _timed(prepared, None), _timed(prepared, side)
    scores = [softmax(classifier.logits(tensor, threads=1))[0] for tensor in (whole, smaller)]
    best = [np.argsort(-each)[:5].tolist() for each in scores]
    return {
        "bytes": len(photo),
        "whole": whole_seconds,
        "smaller": smaller_seconds,
        "top1": best[0][0] == best[1][0],
        "top5": len(set(best[0]) & set(best[1])) / 5,
        "score": abs(float(scores[0][best[0][0]] - scores[1][best[0][0]])),
    }


def _timed(prepare: Callable[[int | None], NDArray[Any]], least_side: int | None) -> tuple[NDArray[Any], float]:
    started = time.thread_time()
    return prepare(least_side), time.thread_time() - started


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "photos": len(rows),
        "median_bytes": median(row["bytes"] for row in rows),
        "same_top1": sum(row["top1"] for row in rows),
        "top5_in_common": round(sum(row["top5"] for row in rows) / len(rows), 4),
        "best_score_differs": {
            "median": round(median(row["score"] for row in rows), 5),
            "most": round(max(row["score"] for row in rows), 5),
        },
        "processor_ms": {name: round(1000 * median(row[name] for row in rows), 1) for name in ("whole", "smaller")},
    }


if __name__ == "__main__":
    sys.exit(main())
