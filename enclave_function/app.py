"""The deployed function: classifies a photo or a tensor.

A Cape function: a folder with `app.py`, whose `cape_handler(bytes) -> str` is called once for each input. The import
loads and warms up the model of `model.json` beside it, and raises `ModelError` if a file differs from its digest there.
Environment:

    BLINDSIGHT_THREADS         numbers of threads that calls will request, such as 1,2 (default: 1)
    BLINDSIGHT_SHARED_WEIGHTS  folder through which workers share weights (default: none; see `model.load`)

The manifest, which is attested, lists the accepted image formats; the environment cannot add one. `MAX_BYTES` and
`MAX_PIXELS` in `photo_classifier.decode` limit inputs before they are decoded. The runtime limits wall time by ending
the worker, because a decoder in C cannot be interrupted from within.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

# OpenBLAS would start a thread for each processor on import; only ONNX Runtime computes here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from photo_classifier import answer, manifest, model, problems
from photo_classifier.decode import looks_encoded, picture, prepare
from photo_classifier.problems import InputProblem, ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from photo_classifier.contract import Array

MAX_BATCH = 32
"""Most images in one model run. ResNet50 needs about 20 MB for each."""


def _thread_counts() -> list[int]:
    text = os.environ.get("BLINDSIGHT_THREADS", "1")
    counts = [int(item) for item in text.split(",") if item.strip().isdecimal()]
    if len(counts) != len(text.split(",")) or min(counts) < 1:
        raise ModelError("BLINDSIGHT_THREADS is not a list of numbers of threads such as 1,2")
    return counts


_shared = os.environ.get("BLINDSIGHT_SHARED_WEIGHTS")
_files = manifest.read(Path(__file__).resolve().parent)
prepare(_files.formats)
_model = model.load(_files, thread_counts=_thread_counts(), shared=Path(_shared) if _shared else None)

MODEL: dict[str, Any] = _files.manifest
"""The manifest, as read from `model.json`."""

TOP_K = min(5, len(_files.labels))
"""Default number of classes in an answer: five, or all of a model with fewer."""

TENSOR_BYTES = _files.input.byte_count
"""Bytes of one input tensor: 602112 for 224 x 224 in float32."""


def ready() -> dict[str, Any]:
    """Facts of the loaded function.

    `model` (name, version, trained, precision), the number of `classes`, accepted `formats`, and `threads` of the
    sessions.
    """
    return {
        "model": {key: MODEL[key] for key in ("name", "version", "trained")} | {"precision": _files.precision},
        "classes": len(_files.labels),
        "formats": list(_files.formats),
        "threads": list(_model.thread_counts),
    }


def cape_handler(input: bytes) -> str:  # noqa: A002 -- Cape's name for it
    """Answer one Cape call with JSON: the `TOP_K` best classes as `{class: score}`, best first.

    `input` is an encoded image, or the preprocessed input tensor of one image: exactly `TENSOR_BYTES` bytes that do not
    begin like an image file, little-endian, with the layout and number type of the manifest; for ResNet50 float32 (1,
    3, 224, 224). N tensors, N = 2..32, are answered with an array of N objects. Classes with the same name are
    distinguished as in `answer.by_class`. Raises `InputProblem`; for several tensors it names the index, from 0.
    """
    count = _tensor_count(input)
    if count < 2:
        return json.dumps(answer.by_class(classify(input)["predictions"]))
    answers = []
    for index, result in enumerate(_classify([input[i * TENSOR_BYTES : (i + 1) * TENSOR_BYTES] for i in range(count)])):
        if isinstance(result, ModelError):
            raise result
        if isinstance(result, InputProblem):
            raise InputProblem(result.code, f"Tensor {index}: {result.detail}", index=index, **result.limits)
        answers.append(answer.by_class(result["predictions"]))
    return json.dumps(answers)


def classify(data: bytes, *, top_k: int = TOP_K, threads: int = 1) -> dict[str, Any]:
    """Classify one encoded image or one tensor, on at most `threads` threads. Raises `InputProblem`.

    Returns `predictions` (see `answer.Prediction`), `image` (`width` and `height` of the upright image in pixels; None
    for a tensor) and `timings_ms` (`decode`, `preprocess`, `run`).
    """
    (result,) = _classify([data], top_k=top_k, threads=threads)
    if isinstance(result, Exception):
        raise result
    return result


def classify_batch(items: list[bytes], *, top_k: int = TOP_K, threads: int = 1) -> list[dict[str, Any]]:
    """Classify up to `MAX_BATCH` images or tensors in one model run; results in the order of `items`.

    Each result is that of `classify`, with the time of the whole run as `run`, or `{"problem": {"code", "detail",
    "limits"}}` for an item that cannot be classified, which does not affect the others: `internal` if the model has no
    finite answer for an image. Raises `InputProblem` for an invalid `top_k` or too many items.
    """
    return [
        _problem(result) if isinstance(result, Exception) else result
        for result in _classify(items, top_k=top_k, threads=threads)
    ]


def _problem(error: InputProblem | ModelError) -> dict[str, Any]:
    if isinstance(error, InputProblem):
        return {"problem": {"code": error.code, "detail": error.detail, "limits": error.limits}}
    return {"problem": {"code": "internal", "detail": str(error), "limits": {}}}


def _classify(
    items: list[bytes], *, top_k: int = TOP_K, threads: int = 1
) -> list[dict[str, Any] | InputProblem | ModelError]:
    """As `classify_batch`, with exceptions for items that cannot be classified."""
    if not 1 <= top_k <= len(_files.labels):
        raise InputProblem(
            problems.INVALID_TOP_K, f"top_k must be from 1 to {len(_files.labels)}.", limit_top_k=len(_files.labels)
        )
    if len(items) > MAX_BATCH:
        raise InputProblem(problems.TOO_MANY_IMAGES, f"A batch has at most {MAX_BATCH} images.", limit_images=MAX_BATCH)
    prepared: list[_Prepared | InputProblem] = []
    for data in items:
        try:
            prepared.append(_prepare(data, threads))
        except InputProblem as problem:
            prepared.append(problem)
    tensors = [each.tensor for each in prepared if isinstance(each, _Prepared)]
    started = time.perf_counter()
    rows = iter(_model.logits(np.concatenate(tensors), threads=threads) if tensors else ())
    run = _ms(time.perf_counter() - started)
    return [each if isinstance(each, InputProblem) else _result(each, next(rows), run, top_k) for each in prepared]


@dataclass(frozen=True)
class _Prepared:
    """An item before the run: its tensor (1, ...), and the image's size in pixels; None for a tensor."""

    tensor: Array
    image: dict[str, int] | None
    timings_ms: dict[str, float]


def _prepare(data: bytes, threads: int) -> _Prepared:
    """Raises `InputProblem`."""
    started = time.perf_counter()
    count = _tensor_count(data)
    if count > 1:
        raise InputProblem(problems.INVALID_TENSOR, f"One tensor has {TENSOR_BYTES} bytes.", limit_bytes=TENSOR_BYTES)
    if count == 1:
        tensor = _files.input.of_bytes(data)
        if not np.isfinite(tensor).all():
            raise InputProblem(problems.INVALID_TENSOR, "The tensor contains values that are not finite numbers.")
        decoded, image = started, None
    else:
        upright = picture(data, taken=_files.formats, least_side=_files.least_side)
        decoded = time.perf_counter()
        tensor = _files.input.of_picture(upright, _files.preprocessing, threads)
        image = dict(zip(("width", "height"), upright.size, strict=True))
    timings = {"decode": _ms(decoded - started), "preprocess": _ms(time.perf_counter() - decoded)}
    return _Prepared(tensor, image, timings)


def _result(
    item: _Prepared, logits: NDArray[np.float32], run: float, top_k: int
) -> dict[str, Any] | InputProblem | ModelError:
    """The result of `classify`. `logits` has one number for each class; `run` is in milliseconds."""
    if np.isfinite(logits).all():
        try:
            predictions = answer.rank(logits, _files.labels, top_k, _files.output)
        except ModelError as error:
            return error
        return {"predictions": predictions, "image": item.image, "timings_ms": {**item.timings_ms, "run": run}}
    if item.image is None:
        return InputProblem(problems.INVALID_TENSOR, "The tensor's values are too large for the model.")
    return ModelError("the model has no finite answer for an image")


def _tensor_count(data: bytes) -> int:
    """The number of tensors in `data`; 0 if it has to be decoded as an image."""
    count, rest = divmod(len(data), TENSOR_BYTES)
    return count if rest == 0 and count <= MAX_BATCH and not looks_encoded(data) else 0


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
