"""A release that is not made to its end leaves nothing behind: what has the folder's name is a whole release."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from release_build import sbom, wheel
from release_build.errors import ReleaseBuildError
from release_build.make import Inputs, make

REPOSITORY = Path(__file__).resolve().parents[2]


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "release_build", "make", *arguments],
        cwd=folder, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_after_a_failure_the_same_command_can_be_given_again(tmp_path: Path) -> None:
    (tmp_path / "dog.jpeg").write_bytes(b"a photo")
    (tmp_path / "model").mkdir()
    before = sorted(tmp_path.iterdir())
    first, second = (command(tmp_path, "--out", "out", "--bundle", "dog.jpeg") for _ in range(2))
    assert first.returncode == second.returncode == 1
    assert first.stderr == second.stderr
    assert "error: error:" not in first.stderr
    assert sorted(tmp_path.iterdir()) == before
    for model in ("none", "dog.jpeg"):
        refused = command(tmp_path, "--out", "out", "--model", model)
        assert refused.stderr.startswith(f"error: {model} cannot be read: it is not a folder."), refused.stderr
    assert "error: error:" not in command(tmp_path, "--out", "out", "--model", "model").stderr
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("reason", [KeyboardInterrupt, ReleaseBuildError("full", "Free some."), OSError(28, "full")])
def test_an_interruption_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: BaseException | type[BaseException]
) -> None:
    def interrupted(*_: object) -> str:
        raise reason

    def built(out: Path) -> Path:
        (out / "x.whl").write_bytes(b"")
        return out / "x.whl"

    monkeypatch.setattr(wheel, "build", built)
    monkeypatch.setattr(sbom, "render", interrupted)
    (tmp_path / "f.zip").write_bytes(b"")
    (tmp_path / "out").mkdir()
    with pytest.raises((KeyboardInterrupt, ReleaseBuildError, OSError)):
        make(tmp_path / "out", Inputs(bundles=(tmp_path / "f.zip",)))
    assert not list((tmp_path / "out").iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.zip", "out"]
