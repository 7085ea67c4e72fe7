"""A Cape function that loads ONNX Runtime sends nothing and leaves nothing on the disk: seen by tracing it."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from enclave_runtime.cape.process import HandlerLimits, HandlerProcess
from enclave_runtime.confinement import layers
from enclave_runtime.confinement.warden import Warden
from tests.enclave_runtime.cape import handler_sources
from tests.enclave_runtime.cape.handler_sources import ReversingRpc, within
from tests.support import traced

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.models import TinyModel


@pytest.mark.parametrize("without", [layers.ALL, (layers.IDS, layers.NAMESPACES)], ids=["nothing", "Landlock"])
async def test_a_function_that_loads_onnx_runtime_is_silent(
    colour_model: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: tuple[str, ...]
) -> None:
    """Any account's function, which knows nothing of this. Nothing is even tried, so it does not take a sandbox."""
    warden = Warden.appoint(total_bytes=8 << 30, without=without)
    program, trace = traced.interpreter(tmp_path)
    code = handler_sources.write(tmp_path, handler_sources.CLASSIFIER)
    shutil.copytree(colour_model.folder, code / "model")
    monkeypatch.setattr(sys, "executable", str(program))
    start = HandlerProcess.start(code, warden=warden, limits=HandlerLimits(), rpc=ReversingRpc())
    process = await within(start)
    try:
        assert await within(process.call(bytes(4 * 3 * 224 * 224)))
    finally:
        await process.close()
        warden.close()
    traced.check_silent(trace, code.parent)
