"""`blindsight classify IMG.HEIC`: turned into JPEG here, before anything is sealed or sent."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.support.command import blindsight
from tests.support.containers import isobmff
from tests.support.images import encode, plain
from tests.support.models import colour_of, label_of
from tests.support.processes import environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stack import Stack

CLASS_ID = 427
TURNED = "turned from {} into JPEG on this machine, upright, without place, time and other metadata"


@pytest.fixture
def heic(tmp_path: Path) -> Path:
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    heif.from_pillow(Image.new("RGB", (96, 64), colour_of(CLASS_ID))).save(buffer, quality=100, exif=exif.tobytes())
    (tmp_path / "IMG_0001.HEIC").write_bytes(buffer.getvalue())
    return tmp_path / "IMG_0001.HEIC"


@pytest.mark.parametrize("lane", ["plain", "sealed"])
def test_a_phones_photo_is_classified(tiny_stack: Stack, tmp_path: Path, heic: Path, lane: str) -> None:
    more = ["--sealed", "--policy", str(tiny_stack.policy_file)] if lane == "sealed" else []
    done = blindsight(tmp_path, "classify", "--json", *more, "--url", tiny_stack.gateway.url, heic.name)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["predictions"][0]["label"] == label_of(CLASS_ID)
    assert answer["image"] == {"width": 64, "height": 96}
    (said,) = [line for line in done.stderr.splitlines() if "turned" in line]
    assert said == f"{heic.name}: {TURNED.format('HEIC')}"


def test_avif_that_is_not_taken_is_turned_too(tiny_stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "photo.avif").write_bytes(encode(Image.new("RGB", (96, 64), colour_of(CLASS_ID)), "AVIF", quality=100))
    done = blindsight(tmp_path, "classify", "--json", "--url", tiny_stack.gateway.url, "photo.avif")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["predictions"][0]["label"] == label_of(CLASS_ID)
    assert TURNED.format("AVIF") in done.stderr


def test_its_receipt_is_kept_with_what_was_sent(tiny_stack: Stack, tmp_path: Path, heic: Path) -> None:
    arguments = ["--receipts", "kept", "--url", tiny_stack.gateway.url, heic.name]
    assert blindsight(tmp_path, "classify", *arguments).returncode == 0
    assert {file.name for file in (tmp_path / "kept").iterdir()} == {
        "IMG_0001.HEIC.receipt.json",
        "IMG_0001.HEIC.sent.jpg",
    }
    verify = ["receipt", "verify", "kept/IMG_0001.HEIC.receipt.json", "--policy", str(tiny_stack.policy_file)]
    done = blindsight(tmp_path, *verify, "--photo", "kept/IMG_0001.HEIC.sent.jpg")
    assert done.returncode == 0, done.stderr
    assert "is the one that was sent" in done.stdout
    done = blindsight(tmp_path, *verify, "--photo", heic.name)
    assert done.returncode == 1
    assert "--photo kept/IMG_0001.HEIC.sent.jpg" in " ".join(done.stderr.split())


def test_without_the_extra_the_photo_is_not_sent_and_the_way_to_install_it_is_said(
    tiny_stack: Stack, tmp_path: Path
) -> None:
    (tmp_path / "pillow_heif.py").write_text("raise ImportError\n")
    (tmp_path / "IMG_0001.HEIC").write_bytes(isobmff(b"heic", b"mif1", b"heic"))
    (tmp_path / "photo.png").write_bytes(plain(CLASS_ID))
    variables = environment(tmp_path)
    variables["PYTHONPATH"] = f"{tmp_path}:{variables.get('PYTHONPATH', '')}"
    command = [sys.executable, "-m", "blindsight_cli.main", "classify", "--url", tiny_stack.gateway.url]
    done = subprocess.run(
        [*command, "IMG_0001.HEIC", "photo.png"],
        cwd=tmp_path,
        env={**variables, "COLUMNS": "250"},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert done.returncode == 1
    assert label_of(CLASS_ID) in done.stdout
    (said,) = [line for line in done.stderr.splitlines() if "IMG_0001.HEIC" in line]
    assert "The photo was not sent" in said
    assert "pip install pillow-heif" in said


def test_a_damaged_one_is_said_and_the_others_are_answered(tiny_stack: Stack, tmp_path: Path, heic: Path) -> None:
    (tmp_path / "damaged.heic").write_bytes(heic.read_bytes()[:300])
    done = blindsight(tmp_path, "classify", "--url", tiny_stack.gateway.url, "damaged.heic", heic.name)
    assert done.returncode == 1
    assert "damaged.heic: The photo was not sent. The HEIC file cannot be decoded." in done.stderr
    assert label_of(CLASS_ID) in done.stdout
    assert "Traceback" not in done.stderr
