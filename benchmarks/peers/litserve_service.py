"""LitServe: a LitAPI whose workers decode, preprocess and run."""

# LitServe and FastAPI read annotations as they are: no `from __future__ import annotations`.
import sys
from pathlib import Path
from typing import Any

import litserve
from fastapi import Request, Response

from benchmarks.classifier import Classifier


class Api(litserve.LitAPI):  # type: ignore[misc]  # untyped where LitServe is not installed
    def __init__(self, model: str, threads: int) -> None:
        super().__init__(api_path="/classify")
        self._model, self._threads = model, threads

    def setup(self, device: str) -> None:  # noqa: ARG002 -- LitServe's
        self._classifier = Classifier(Path(self._model), self._threads)

    def decode_request(self, request: Request) -> bytes:
        """The form's one file: for a form, LitServe hands over its fields in place of the request."""
        fields: Any = request
        content: bytes = fields["file"].file.read()
        return content

    def predict(self, x: bytes) -> dict[str, Any]:
        return self._classifier.classify(x)

    def encode_response(self, output: dict[str, Any]) -> Response:
        return output  # type: ignore[return-value]  # as LitServe's documentation has it: a dict becomes JSON


if __name__ == "__main__":
    _model, _port, _workers, _threads = sys.argv[1:]
    _server = litserve.LitServer(
        Api(_model, int(_threads)), accelerator="cpu", workers_per_device=int(_workers), timeout=120
    )
    _server.run(host="127.0.0.1", port=int(_port), generate_client_file=False, log_level="warning")
