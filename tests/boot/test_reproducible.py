"""Two builds of the real image, in other folders, by other users, at other times: the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enclave_function.bundle import build as build_bundle
from enclave_image import packages
from tests.boot.conftest import OPTIONS, build_image
from tests.support import ordinary_user

if TYPE_CHECKING:
    from tests.boot.conftest import Built

REPOSITORY = Path(__file__).resolve().parents[2]
ANOTHER_TIME = "2031-05-06 07:08:09"


def test_folder_user_and_clock_do_not_show(built: Built) -> None:
    if (reason := ordinary_user.unavailable()) is not None:
        pytest.skip(reason)
    place = Path(tempfile.mkdtemp(prefix="another-", dir="/var/tmp"))
    try:
        source = place / "a folder with another name"
        for name in ("blindsight", "enclave_runtime", "enclave_image", "requirements"):
            shutil.copytree(REPOSITORY / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(packages.default_cache(), place / "cache" / packages.default_cache().name)
        shutil.copy(built.bundle, place / "function.zip")
        for number, path in enumerate(sorted(place.rglob("*"))):
            os.utime(path, (10**9 + number, 10**9 + number))
            os.chown(path, ordinary_user.USER, ordinary_user.USER)
        os.chown(place, ordinary_user.USER, ordinary_user.USER)
        out = place / "enclave.eif"
        files = ("--bundle", str(place / "function.zip"), "--out", str(out))
        command = ordinary_user.command("-m", "enclave_image", "build", *files, "--json", *OPTIONS)
        if faketime := shutil.which("faketime"):
            command = [faketime, ANOTHER_TIME, *command]
        variables = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(source), "BLINDSIGHT_CACHE": str(place / "cache"),
            "HOME": str(place), "TZ": "Pacific/Apia", "LC_ALL": "C", "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        done = subprocess.run(command, cwd=source, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        again = json.loads(done.stdout)
        assert out.stat().st_uid == ordinary_user.USER
        assert again["pcrs"] == built.description["pcrs"]
        assert again["image"] == built.description["image"]
        assert again == built.description
    finally:
        shutil.rmtree(place)


def test_another_label_changes_the_application_alone(built: Built, tmp_path: Path) -> None:
    """One byte of the labels: PCR 2 and 0, and the function's checksum, from which PCR 16 is extended."""
    model = tmp_path / "model"
    model.mkdir()
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(built.bundle), str(model)], check=True)
    manifest = json.loads((model / "model.json").read_bytes())
    labels = model / manifest["labels"]["file"]
    labels.write_text(labels.read_text().replace("golden retriever", "golden retrieved"))
    manifest["labels"]["sha256"] = packages.digest(labels)
    (model / "model.json").write_text(json.dumps(manifest))
    build_bundle(model, tmp_path / "function.zip")
    after = build_image(tmp_path / "enclave.eif", tmp_path / "function.zip", *OPTIONS)
    before = built.description
    assert after["pcrs"]["1"] == before["pcrs"]["1"]
    assert after["pcrs"]["2"] != before["pcrs"]["2"]
    assert after["pcrs"]["0"] != before["pcrs"]["0"]
    assert after["function_checksum"] != before["function_checksum"]
