"""The same sources give the same image everywhere; what is measured changes registers, and nothing else does."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from blindsight.attestation.claims import expected_pcr16
from enclave_function.bundle import build as build_bundle
from enclave_function.bundle import inspect
from tests.support import ordinary_user
from tests.support.models import write_colour_model

REPOSITORY = Path(__file__).resolve().parents[2]
IGNORED = shutil.ignore_patterns("__pycache__", "node_modules")
PACKAGES = ("blindsight", "blindsight_cli", "enclave_runtime", "enclave_image")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    build_bundle(_model(folder / "model"), folder / "function.zip")
    return folder / "function.zip"


def _model(folder: Path) -> Path:
    folder.mkdir()
    return write_colour_model(folder).folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in PACKAGES:
        shutil.copytree(REPOSITORY / name, tmp_path / "source" / name, ignore=IGNORED)
    return tmp_path / "source"


def _build(out: Path, bundle: Path, source: Path, *, user: int | None = None, env: dict[str, str] | None = None) -> Any:
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.support.tiny_image", str(out), str(bundle), str(source)]
    if user is not None:
        command = ordinary_user.command(*command[1:], user=user)
    done = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def baseline(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return _build(tmp_path_factory.mktemp("baseline") / "enclave.eif", bundle, REPOSITORY)


def test_folder_time_umask_and_locale_do_not_show(tmp_path: Path, bundle: Path, source: Path, baseline: Any) -> None:
    for number, path in enumerate(sorted(source.rglob("*"))):
        os.utime(path, (10**9 + number, 10**9 + number))
        if path.is_file():
            path.chmod(0o640)
    again = _build(
        tmp_path / "a longer folder" / "enclave.eif", bundle, source,
        env={"TZ": "Pacific/Apia", "LC_ALL": "C", "PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert again["image"]["sha256"] == baseline["image"]["sha256"]
    assert again["pcrs"] == baseline["pcrs"]


def test_the_user_does_not_show(bundle: Path, baseline: Any) -> None:
    if (reason := ordinary_user.unavailable()) is not None:
        pytest.skip(reason)
    # A folder that another user may reach: pytest's own are private.
    place = Path(tempfile.mkdtemp(prefix="image-", dir="/var/tmp"))
    try:
        shutil.copy(bundle, place / "function.zip")
        for path in (place, place / "function.zip"):
            os.chown(path, ordinary_user.USER, ordinary_user.USER)
        again = _build(place / "enclave.eif", place / "function.zip", REPOSITORY, user=ordinary_user.USER)
        assert (place / "enclave.eif").stat().st_uid == ordinary_user.USER
    finally:
        shutil.rmtree(place)
    assert again["image"]["sha256"] == baseline["image"]["sha256"]


def test_one_label_changes_the_application_and_what_the_runtime_extends(
    tmp_path: Path, bundle: Path, baseline: Any
) -> None:
    model = _model(tmp_path / "model")
    manifest = json.loads((model / "model.json").read_bytes())
    labels = model / manifest["labels"]["file"]
    labels.write_text(labels.read_text().replace("a", "b", 1))
    manifest["labels"]["sha256"] = hashlib.sha256(labels.read_bytes()).hexdigest()
    (model / "model.json").write_text(json.dumps(manifest))
    before, changed = inspect(bundle), build_bundle(model, tmp_path / "function.zip")
    after = _build(tmp_path / "two" / "enclave.eif", tmp_path / "function.zip", REPOSITORY)
    assert after["function_checksum"] == changed.checksum
    assert after["pcrs"]["1"] == baseline["pcrs"]["1"]
    assert after["pcrs"]["2"] != baseline["pcrs"]["2"]
    assert after["pcrs"]["0"] != baseline["pcrs"]["0"]
    extended = {expected_pcr16(bytes.fromhex(i.checksum), bytes.fromhex(i.model.digest)) for i in (before, changed)}
    assert len(extended) == 2


def test_a_help_text_and_the_client_change_nothing(tmp_path: Path, bundle: Path, source: Path, baseline: Any) -> None:
    for file in ("blindsight_cli/main.py", "blindsight/client/__init__.py"):
        path = source / file
        path.write_text(path.read_text().replace("Confidential", "Sealed", 1) + "\n# changed\n")
    after = _build(tmp_path / "two" / "enclave.eif", bundle, source)
    assert after["image"]["sha256"] == baseline["image"]["sha256"]


def test_a_line_of_the_core_changes_the_application_alone(
    tmp_path: Path, bundle: Path, source: Path, baseline: Any
) -> None:
    path = source / "blindsight/wire/frames.py"
    path.write_text(path.read_text() + "\n# changed\n")
    after = _build(tmp_path / "two" / "enclave.eif", bundle, source)
    assert after["pcrs"]["1"] == baseline["pcrs"]["1"]
    assert after["pcrs"]["2"] != baseline["pcrs"]["2"]
