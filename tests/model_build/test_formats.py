"""The image formats that a model takes, from the command line into the manifest whose digest is attested."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import model_build
from model_build import manifest
from photo_classifier import formats as decodable

OFFLINE_MODEL = Path(model_build.__file__).parent / "offline_model"


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "model_build", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_an_imported_model_states_what_it_takes(tmp_path):
    done = command("build", "--onnx", OFFLINE_MODEL / "offline.onnx", "--labels", OFFLINE_MODEL / "cifar10_classes.txt",
                   "--out", tmp_path / "default")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert manifest.read(tmp_path / "default").formats == ("jpeg", "png", "webp")


def test_other_formats_are_another_model(tmp_path):
    done = command("build", "--directory", OFFLINE_MODEL, "--formats", "avif, JPEG", "--out", tmp_path / "other")
    assert done.returncode == 0, done.stderr
    made, source = manifest.read(tmp_path / "other"), manifest.read(OFFLINE_MODEL)
    assert made.formats == ("jpeg", "avif")
    assert made == source.model_copy(update={"formats": ("jpeg", "avif")})
    assert made.digest() != source.digest()
    assert made.digest().hex() in done.stdout
    assert {path.name for path in (tmp_path / "other").iterdir()} == {"model.json", made.onnx.file, made.labels.file}
    assert command("check", tmp_path / "other").returncode == 0


def test_a_manifest_of_before_keeps_its_digest(tmp_path):
    fields = json.loads((OFFLINE_MODEL / "model.json").read_text())
    fields.pop("formats", None)
    old = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    shutil.copytree(OFFLINE_MODEL, tmp_path / "old")
    (tmp_path / "old" / "model.json").write_bytes(old)
    read = manifest.read(tmp_path / "old")
    assert read.formats is None
    assert read.canonical() == old


@pytest.mark.parametrize("formats", ["heic", "gif,jpeg", "", "jpeg,,png", "jpeg png"])
def test_what_cannot_be_decoded_cannot_be_asked_for(tmp_path, formats):
    done = command("build", "--directory", OFFLINE_MODEL, "--formats", formats, "--out", tmp_path / "other")
    assert done.returncode == 2
    assert "jpeg, png, webp, avif" in done.stderr.replace("\n", " ")
    assert not (tmp_path / "other").exists()


def test_a_directory_without_formats_or_onto_itself_is_refused(tmp_path):
    assert command("build", "--directory", OFFLINE_MODEL, "--out", tmp_path / "other").returncode == 2
    shutil.copytree(OFFLINE_MODEL, tmp_path / "model")
    done = command("build", "--directory", tmp_path / "model", "--formats", "png", "--out", tmp_path / "model")
    assert done.returncode == 1
    assert "is the model directory itself" in done.stderr
    (tmp_path / "model" / "offline.onnx").write_bytes(b"another")
    done = command("build", "--directory", tmp_path / "model", "--formats", "png", "--out", tmp_path / "other")
    assert done.returncode == 1
    assert "is not the file that its manifest names" in done.stderr
    assert not (tmp_path / "other").exists()


def test_a_manifest_lists_them_in_one_order(tmp_path):
    shutil.copytree(OFFLINE_MODEL, tmp_path / "model")
    fields = json.loads((OFFLINE_MODEL / "model.json").read_text())
    for formats in (["png", "jpeg"], ["jpeg", "jpeg"], []):
        changed = json.dumps({**fields, "formats": formats}, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        (tmp_path / "model" / "model.json").write_text(changed)
        with pytest.raises(Exception, match="formats"):
            manifest.read(tmp_path / "model")


def test_builder_and_function_know_the_same_formats():
    assert manifest.FORMATS == decodable.DECODABLE
    assert manifest.DEFAULT_FORMATS == decodable.DEFAULT


def test_the_offline_model_states_the_default():
    assert manifest.read(OFFLINE_MODEL).formats == manifest.DEFAULT_FORMATS


def test_decoding_is_part_of_the_model(tmp_path):
    exact = command("build", "--directory", OFFLINE_MODEL, "--no-dct-scaling", "--out", tmp_path / "exact")
    scaled = command("build", "--directory", tmp_path / "exact", "--dct-scaling", "--out", tmp_path / "scaled")
    assert (exact.returncode, scaled.returncode) == (0, 0), exact.stderr + scaled.stderr
    found = [manifest.read(tmp_path / name) for name in ("exact", "scaled")]
    assert [each.decoding for each in found] == [
        manifest.Decoding(dct_scaling=False),
        manifest.Decoding(dct_scaling=True),
    ]
    assert len({each.digest() for each in (*found, manifest.read(OFFLINE_MODEL))}) == 3


def test_a_new_model_decodes_large_jpegs_smaller_unless_told_not_to(tmp_path):
    labels = OFFLINE_MODEL / "cifar10_classes.txt"
    shutil.copyfile(OFFLINE_MODEL / "offline.onnx", tmp_path / "offline.onnx")
    for options, dct_scaling in (((), True), (("--no-dct-scaling",), False)):
        done = command(
            "build", "--onnx", tmp_path / "offline.onnx", "--labels", labels, *options, "--out", tmp_path / "model"
        )
        assert done.returncode == 0, done.stderr
        assert manifest.read(tmp_path / "model").decoding == manifest.Decoding(dct_scaling=dct_scaling)
