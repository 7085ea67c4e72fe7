"""A worker talks to the runtime alone and leaves nothing on the disk: seen by tracing it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from enclave_function.bundle import build
from enclave_runtime import function as functions
from enclave_runtime.confinement import layers
from enclave_runtime.confinement.warden import Warden
from enclave_runtime.workers.process import LIMITS, WorkerProcess, Workplace
from tests.enclave_runtime.workers.fake_function import within
from tests.support import traced
from tests.support.images import plain

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.support.models import TinyModel


async def test_a_worker_is_silent(colour_model: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not in namespaces, whose making would stand in the trace.
    warden = Warden.appoint(total_bytes=8 << 30, without=layers.ALL)
    program, trace = traced.interpreter(tmp_path)
    bundle = tmp_path / "bundle.zip"
    build(colour_model.folder, bundle)
    function = functions.load(bundle)
    monkeypatch.setattr(sys, "executable", str(program))
    try:
        workplace = Workplace(warden, function.folder, function.weights, [1, 2], LIMITS)
        worker = await within(WorkerProcess.start(workplace, draft=function.draft))
        try:
            answer = await within(worker.call({"top_k": 1, "threads": 2}, plain(7)))
        finally:
            await worker.kill()
    finally:
        function.remove()
        warden.close()
    assert answer["result"]["predictions"][0]["class_id"] == 7
    traced.check_silent(trace, function.folder.parent)
