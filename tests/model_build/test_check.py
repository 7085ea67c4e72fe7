"""The comparison with torch finds differences, and the directory check finds changed files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from model_build import build, check, manifest
from model_build.errors import ContractError, DifferenceError, ModelBuildError


def test_export_computes_what_torch_computes(network, exported):
    photo = Image.fromarray(np.random.default_rng(5).integers(0, 256, (300, 400, 3), dtype=np.uint8))
    assert 0 < check.check_against_torch(network, exported, [photo]) < check.TOLERANCE / 10


def test_one_changed_weight_is_found(network, perturbed):
    with pytest.raises(DifferenceError, match="differs from torch by"):
        check.check_against_torch(network, perturbed)


def test_difference_of_more_than_the_tolerance_is_refused():
    reference = np.arange(10, dtype=np.float32)[None]  # A range of 9.
    assert check.compare(reference, reference + 8e-4) == pytest.approx(8e-4 / 9, rel=0.01)
    with pytest.raises(DifferenceError, match="more than 1e-04"):
        check.compare(reference, reference + 1e-3)


def test_other_order_of_the_top_five_is_refused_whatever_the_difference():
    reference = np.array([[9.0, 8.0, 7.0, 6.00001, 6.0, 0.0]], dtype=np.float32)
    found = reference[:, [0, 1, 2, 4, 3, 5]]
    with pytest.raises(DifferenceError, match="top 5 classes"):
        check.compare(reference, found)


def test_every_input_is_compared_once_in_batches_of_the_stated_sizes():
    inputs = np.arange(27, dtype=np.float32)
    batches = list(check._batches(inputs))
    assert [len(batch) for batch in batches] == [1, 2, 5, 16, 3]
    assert np.array_equal(np.concatenate(batches), inputs)


def test_drawn_pictures_are_many_sided_and_the_same_every_time():
    first, second = check.draw_pictures(8), check.draw_pictures(8)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))
    assert len({picture.size for picture in first}) == 8
    assert all(np.asarray(picture).std() > 1 for picture in first)


def test_pictures_of_a_folder(tmp_path):
    Image.new("L", (20, 10)).save(tmp_path / "b.png")
    Image.new("RGB", (30, 10)).save(tmp_path / "a.JPG", format="JPEG")
    (tmp_path / "notes.txt").write_text("no picture")
    assert [(picture.mode, picture.size) for picture in check.read_pictures(tmp_path)] == [
        ("RGB", (30, 10)),
        ("RGB", (20, 10)),
    ]


def test_folder_without_usable_pictures_is_refused(tmp_path):
    with pytest.raises(ModelBuildError, match="no JPEG, PNG or WebP"):
        check.read_pictures(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    with pytest.raises(ModelBuildError, match="cannot be decoded"):
        check.read_pictures(tmp_path)


@pytest.fixture
def directory(tiny, tmp_path):
    source = tiny()
    build.import_onnx(tmp_path / "model", source, label_file=source.with_name("labels.txt"))
    return tmp_path / "model"


def test_untouched_directory_passes(directory):
    assert check.check_directory(directory) == manifest.read(directory)


@pytest.mark.parametrize("name", ["tiny.onnx", "labels.txt"])
def test_changed_file_is_found(directory, name):
    path = directory / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ContractError, match=rf"{name} has SHA-256"):
        check.check_directory(directory)


@pytest.mark.parametrize("name", ["tiny.onnx", "labels.txt", "model.json"])
def test_missing_file_is_found(directory, name):
    (directory / name).unlink()
    with pytest.raises(ContractError, match=name):
        check.check_directory(directory)


@pytest.mark.parametrize(
    ("part", "change", "what"),
    [
        ("onnx", {"bytes": 5}, "size"),
        ("onnx", {"opset": 9}, "operator set"),
        ("output", {"shape": ("N", 8)}, "number of classes"),
        ("labels", {"count": 8}, "number of labels"),
    ],
)
def test_manifest_that_says_otherwise_is_found(directory, part, change, what):
    described = manifest.read(directory)
    changed = described.model_copy(update={part: getattr(described, part).model_copy(update=change)})
    (directory / manifest.FILE_NAME).write_bytes(changed.canonical())
    with pytest.raises(ContractError, match=f"the {what} is"):
        check.check_directory(directory)
