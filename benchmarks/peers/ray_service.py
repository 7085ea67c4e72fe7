"""Ray Serve: a deployment behind its HTTP proxy, on a Ray of this machine alone, without dashboard."""

# FastAPI reads annotations as they are: no `from __future__ import annotations`.
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import ray
from fastapi import FastAPI, UploadFile
from ray import serve

from benchmarks.classifier import Classifier

app = FastAPI()


@serve.deployment
@serve.ingress(app)
class Classify:
    def __init__(self, model: str, threads: int) -> None:
        self._classifier = Classifier(Path(model), threads)

    @app.post("/classify")
    def classify(self, file: UploadFile) -> dict[str, Any]:
        return self._classifier.classify(file.file.read())

    @app.get("/readyz")
    def readyz(self) -> dict[str, str]:
        return {"status": "ready"}


if __name__ == "__main__":
    _model, _port, _workers, _threads = sys.argv[1:]
    ray.init(include_dashboard=False, log_to_driver=False, _temp_dir=tempfile.mkdtemp(prefix="ray-"))
    serve.start(http_options={"host": "127.0.0.1", "port": int(_port)}, logging_config={"enable_access_log": False})
    _deployment: Any = Classify
    _bound = _deployment.options(num_replicas=int(_workers)).bind(_model, int(_threads))
    serve.run(_bound, name="classify", route_prefix="/")
    # In place of Ray's own handler, which ends this process without its children.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        serve.shutdown()
        ray.shutdown()
