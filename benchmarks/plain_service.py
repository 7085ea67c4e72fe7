"""The plain service: what one would write without any thought of privacy. FastAPI, Pillow, one ONNX Runtime session.

It decodes and preprocesses with the very code of ours, so that only what surrounds it differs. `python -m
benchmarks.plain_service MODEL_DIR PORT`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import onnxruntime as ort
import uvicorn
from fastapi import FastAPI, UploadFile

from photo_classifier import answer, manifest
from photo_classifier.decode import decode
from photo_classifier.model import DISABLED_OPTIMIZERS


def create_app(model: Path) -> FastAPI:
    files = manifest.read(model)
    session = ort.InferenceSession(
        str(files.onnx), providers=["CPUExecutionProvider"], disabled_optimizers=DISABLED_OPTIMIZERS
    )
    name = files.manifest["input"]["name"]
    app = FastAPI()

    # `def`, not `async def`: FastAPI runs it in its thread pool, and decoder and model release the interpreter lock.
    @app.post("/classify")
    def classify(file: UploadFile) -> dict[str, Any]:
        picture = decode(file.file.read())
        logits = session.run(None, {name: files.preprocessing.tensor(picture)})[0]
        return {
            "predictions": answer.rank(logits[0], files.labels, 5),
            "image": {"width": picture.width, "height": picture.height},
        }

    @app.get("/readyz")
    def readyz() -> dict[str, str]:
        return {"status": "ready"}

    return app


if __name__ == "__main__":
    uvicorn.run(
        create_app(Path(sys.argv[1])),
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
