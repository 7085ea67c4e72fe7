"""What every contender beside ours runs: one ONNX Runtime session, fed by the very decoder and preprocessing of ours.

So that only what surrounds it differs. It imports nothing but what each peer's environment has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnxruntime as ort

from photo_classifier import answer, manifest
from photo_classifier.decode import decode

if TYPE_CHECKING:
    from pathlib import Path

_TOP_K = 5


class Classifier:
    """The model in `folder` on `threads` threads; 0 is ONNX Runtime's default, one for each processor."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        self._files = manifest.read(folder)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = ort.InferenceSession(str(self._files.onnx), options, providers=["CPUExecutionProvider"])
        self._name: str = self._files.manifest["input"]["name"]

    def tensor(self, photo: bytes) -> Any:  # noqa: ANN401 -- an array of the manifest's type
        return self._files.preprocessing.tensor(decode(photo))

    def run(self, tensor: Any) -> Any:  # noqa: ANN401 -- as above
        return self._session.run(None, {self._name: tensor})[0]

    def predictions(self, output: Any) -> list[dict[str, Any]]:  # noqa: ANN401 -- as above
        return answer.rank(output[0], self._files.labels, min(_TOP_K, len(self._files.labels)))

    def classify(self, photo: bytes) -> dict[str, Any]:
        """An answer in the shape of our gateway's."""
        return {"predictions": self.predictions(self.run(self.tensor(photo)))}
