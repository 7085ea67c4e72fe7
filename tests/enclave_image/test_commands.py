"""The builder's command line: what is given as the bundle has to be one, before the long work."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

import pytest

from enclave_function.bundle import build as build_bundle
from enclave_image import commands, kernel, packages
from enclave_image.kernel import Kernel
from tests.support import tiny_image

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.models import TinyModel


class _LongWorkError(Exception):
    """The first package is asked for."""


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to build in; packages raise when they are asked for."""

    def fetch(*_: object) -> None:
        raise _LongWorkError

    monkeypatch.setattr(kernel, "load", lambda *_, **__: Kernel(tiny_image.KERNEL, b"kernel", ()))
    monkeypatch.setattr(packages, "fetch", fetch)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> int:
    return commands.main(["build", "--out", "e.eif", *arguments])


def test_what_is_no_bundle_is_refused(builder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (builder / "dog.jpeg").write_bytes(b"\xff\xd8\xff\xe0 a photo")
    with zipfile.ZipFile(builder / "other.zip", "w") as archive:
        archive.writestr("app.py", "")
    for name in ("dog.jpeg", "other.zip", "none.zip"):
        assert run("--bundle", name) == 1, name
        said = capsys.readouterr().err
        assert said.startswith("error: "), name
        assert said.count("\n") == 1, name


def test_a_bundle_is_taken(builder: Path, colour_model: TinyModel) -> None:
    build_bundle(colour_model.folder, builder / "function.zip")
    with pytest.raises(_LongWorkError):
        run("--bundle", "function.zip")


def test_a_sealed_bundle_is_taken_only_where_it_is_pinned(builder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (builder / "function.enc").write_bytes(b"blindsight-sealed-file/1\n" + bytes(100))
    (builder / "kms.json").write_text(json.dumps({"bundle_sha256": "ab" * 32}))
    with pytest.raises(_LongWorkError):
        run("--bundle", "function.enc", "--config", "kms.json")
    assert run("--bundle", "function.enc") == 1
    assert "error: " in capsys.readouterr().err
    (builder / "dog.jpeg").write_bytes(b"\xff\xd8\xff\xe0 a photo")
    assert run("--bundle", "dog.jpeg", "--config", "kms.json") == 1
