"""BentoML: a service with one API, started by BentoML's own server."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import bentoml

from benchmarks.classifier import Classifier

_MODEL, _WORKERS, _THREADS = "BENCHMARK_MODEL", "BENCHMARK_WORKERS", "BENCHMARK_THREADS"


@bentoml.service(
    workers=int(os.environ.get(_WORKERS, "1")), traffic={"timeout": 120}, logging={"access": {"enabled": False}}
)
class Classify:
    def __init__(self) -> None:
        self._classifier = Classifier(Path(os.environ[_MODEL]), int(os.environ[_THREADS]))

    @bentoml.api(route="/classify")  # type: ignore[untyped-decorator]  # untyped where BentoML is not installed
    def classify(self, file: Path) -> dict[str, Any]:
        return self._classifier.classify(file.read_bytes())


if __name__ == "__main__":
    _model, _port, _workers, _threads = sys.argv[1:]
    os.environ |= {_MODEL: _model, _WORKERS: _workers, _THREADS: _threads}
    _command = [sys.executable, "-m", "bentoml", "serve", "benchmarks.peers.bentoml_service:Classify"]
    os.execv(sys.executable, [*_command, "--host", "127.0.0.1", "--port", _port])
