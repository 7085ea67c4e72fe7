"""A Cape function that loads ONNX Runtime sends nothing and leaves nothing on the disk: seen by tracing it."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from enclave_runtime.cape.process import HandlerLimits, HandlerProcess
from tests.enclave_runtime.cape import handler_sources
from tests.enclave_runtime.cape.handler_sources import ReversingRpc, within
from tests.support import traced

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.models import TinyModel


@pytest.mark.parametrize("sandboxed", [True, False])
@pytest.mark.usefixtures("confinable")
async def test_a_function_that_loads_onnx_runtime_is_silent(
    colour_model: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, sandboxed: bool
) -> None:
    """Any account's function, which knows nothing of this. Nothing is even tried, so it does not take the sandbox."""
    program, trace = traced.interpreter(tmp_path)
    code = handler_sources.write(tmp_path, handler_sources.CLASSIFIER)
    shutil.copytree(colour_model.folder, code / "model")
    monkeypatch.setattr(sys, "executable", str(program))
    limits = HandlerLimits(sandboxed=sandboxed)
    process = await within(HandlerProcess.start(code, limits=limits, rpc=ReversingRpc()))
    try:
        assert await within(process.call(bytes(4 * 3 * 224 * 224)))
    finally:
        await process.close()
    traced.check_silent(trace, code.parent)
