"""The classifier that every contender beside ours runs: one ONNX Runtime session, with our decoder and preprocessing.

Only the code around it differs. It imports only packages that each peer's environment contains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

from photo_classifier import answer, manifest, model
from photo_classifier.decode import picture

if TYPE_CHECKING:
    from pathlib import Path

    from photo_classifier.contract import Array

_TOP_K = 5


class Classifier:
    """The model directory `folder` on `threads` threads. 0 is ONNX Runtime's default: one thread for each processor.

    The session computes as the deployed function's does (`model.create_session`); all other options are ONNX Runtime's
    defaults. Raises `ModelError`.
    """

    def __init__(self, folder: Path, threads: int = 0) -> None:
        self._files = manifest.read(folder)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = model.create_session(self._files.onnx, options)

    def tensor(self, photo: bytes) -> Array:
        """The graph's input (1, ...) for an encoded photo, on one thread. Raises `InputProblem`."""
        decoded = picture(photo, taken=self._files.formats, least_side=self._files.least_side)
        return self._files.input.of_picture(decoded, self._files.preprocessing)

    def run(self, tensor: Array) -> Array:
        """The graph's output for one input: (1, classes), or (1, classes, 1, 1)."""
        output: Array = self._session.run([self._files.output.name], {self._files.input.name: tensor})[0]
        return output

    def predictions(self, output: Array) -> list[answer.Prediction]:
        """The best five classes of what `run` returned."""
        values = np.asarray(output[0], np.float32).reshape(-1)
        return answer.rank(values, self._files.labels, min(_TOP_K, len(self._files.labels)), self._files.output)

    def classify(self, photo: bytes) -> dict[str, Any]:
        """An answer in the form of our gateway's: `predictions`. Raises `InputProblem`."""
        return {"predictions": self.predictions(self.run(self.tensor(photo)))}
