"""Processor times of models in the sessions that serve them, to compare a variant with its original."""

from __future__ import annotations

import importlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from enclave_function.bundle import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SOURCE = Path(__file__).resolve().parent


def of_models(models: Sequence[Path], rounds: int) -> Iterator[list[float]]:
    """Yield for each of `rounds` the seconds that each of the model directories `models` takes in turn.

    Each runs one image of noise, or one batch of a fixed size, on one thread. Raises `BundleError`.
    """
    sys.path.insert(0, str(_SOURCE))
    manifest, model = (importlib.import_module(f"photo_classifier.{name}") for name in ("manifest", "model"))
    try:
        files = [manifest.read(each) for each in models]
        loaded = [(model.load(each), _noise(each.input)) for each in files]
        for _ in range(rounds):
            yield [_seconds(*each) for each in loaded]
    except manifest.ModelError as error:
        raise BundleError(f"The function does not take the model: {error}", "Build the model again.") from error


def _noise(given: Any) -> Any:  # noqa: ANN401 -- the types are the function's, which this process imports late
    levels = np.random.default_rng(0).integers(0, 256, (given.batch or 1, *given.shape))
    return (levels if given.dtype == "uint8" else (levels - 128) / 64).astype(given.dtype)


def _seconds(model: Any, tensors: Any) -> float:  # noqa: ANN401 -- as above
    started = time.thread_time()
    model.logits(tensors, threads=1)
    return time.thread_time() - started
