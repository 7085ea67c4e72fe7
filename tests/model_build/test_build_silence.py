"""Building and checking a model sends nothing and writes nothing but the model: seen by tracing the commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import model_build
from tests.support import traced

OFFLINE_MODEL = Path(model_build.__file__).parent / "offline_model"


@pytest.mark.parametrize("command", ["build", "check"])
def test_model_build_is_silent(tmp_path: Path, command: str) -> None:
    traced.compile_sources()
    trace, out = tmp_path / "trace", tmp_path / "out"
    out.mkdir()
    onnx, labels = OFFLINE_MODEL / "offline.onnx", OFFLINE_MODEL / "cifar10_classes.txt"
    arguments = {
        "build": ["--onnx", onnx, "--labels", labels, "--out", out / "model"],
        "check": [OFFLINE_MODEL],
    }[command]
    done = subprocess.run(
        [*traced.command(trace), sys.executable, "-m", "model_build", command, *map(str, arguments)],
        env=traced.fresh_environment(tmp_path / "home"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    traced.check_silent(trace, out)
    assert list((tmp_path / "home").iterdir()) == []
