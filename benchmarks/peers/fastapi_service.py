"""The plain service: FastAPI with one session in each process, without encryption."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, UploadFile

from benchmarks.classifier import Classifier

_MODEL, _THREADS = "BENCHMARK_MODEL", "BENCHMARK_THREADS"


def create_app() -> FastAPI:
    classifier = Classifier(Path(os.environ[_MODEL]), int(os.environ[_THREADS]))
    app = FastAPI()

    # `def`, not `async def`: FastAPI runs it in its thread pool, and decoder and model release the interpreter lock.
    @app.post("/classify")
    def classify(file: UploadFile) -> dict[str, Any]:
        return classifier.classify(file.file.read())

    @app.get("/readyz")
    def readyz() -> dict[str, str]:
        return {"status": "ready"}

    return app


if __name__ == "__main__":
    _model, _port, _workers, _threads = sys.argv[1:]
    os.environ |= {_MODEL: _model, _THREADS: _threads}
    uvicorn.run(
        "benchmarks.peers.fastapi_service:create_app",
        factory=True,
        port=int(_port),
        workers=int(_workers),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
