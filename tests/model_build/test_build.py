"""Model directories: complete, described truly, and written only when all is well."""

from __future__ import annotations

import json
import stat

import numpy as np
import onnx
import pytest

from model_build import build, check, labels, manifest
from model_build.errors import ContractError, ModelBuildError


@pytest.mark.usefixtures("few_inputs")
def test_resnet50_directory(network, instead_of_exporting, tmp_path):
    steps = []
    made = build.build_resnet50(tmp_path / "deep" / "model", network, plain=False, pictures=[], say=steps.append)
    assert check.check_directory(tmp_path / "deep" / "model") == made
    assert sorted(path.name for path in (tmp_path / "deep" / "model").iterdir()) == [
        "imagenet_classes.txt",
        "model.json",
        "resnet50.onnx",
    ]
    assert (made.name, made.version, made.trained) == ("resnet50", "untrained-seed-0", False)
    assert made.weights == network.weights
    assert made.onnx.opset >= 17
    assert set(made.versions) == {"onnx", "onnxruntime", "onnxscript", "torch", "torchvision"}
    assert any("same top 5" in step for step in steps)
    assert list((tmp_path / "deep").iterdir()) == [tmp_path / "deep" / "model"]


def test_import(tiny, tmp_path):
    source = tiny("flowers.onnx")
    made = build.import_onnx(
        tmp_path / "model", source, label_file=source.with_name("labels.txt"), version="3", trained=False
    )
    assert check.check_directory(tmp_path / "model") == made
    assert (tmp_path / "model" / "flowers.onnx").read_bytes() == source.read_bytes()
    assert (made.name, made.version, made.trained) == ("flowers", "3", False)
    assert made.output.shape == ("N", 7)
    assert made.weights.sha256 == made.onnx.sha256 == manifest.file_sha256(source)
    assert (made.onnx.opset, made.versions.keys()) == (17, {"onnxruntime"})


def test_written_files_are_as_readable_as_any(tiny, tmp_path):
    source = tiny()
    build.import_onnx(tmp_path / "model", source, label_file=source.with_name("labels.txt"))
    reference = tmp_path / "reference"
    reference.touch()
    for path in (tmp_path / "model").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(reference.stat().st_mode)


def test_labels_beside_the_file_are_found(tiny, tmp_path):
    made = build.import_onnx(tmp_path / "model", tiny(labels="imagenet_classes.txt"))
    assert labels.read(tmp_path / "model" / made.labels.file)[0] == "class 0"


def test_labels_beside_the_file_that_cannot_be_read_are_not_passed_over(tiny, tmp_path):
    source = tiny(classes=1000)
    source.with_name("imagenet_classes.txt").symlink_to("nowhere")
    with pytest.raises(ContractError, match=r"the labels .*imagenet_classes\.txt cannot be read: No such file"):
        build.import_onnx(tmp_path / "model", source)


def test_a_thousand_classes_are_imagenets_by_default(tiny, tmp_path):
    made = build.import_onnx(tmp_path / "model", tiny(classes=1000))
    assert (tmp_path / "model" / made.labels.file).read_bytes() == labels.IMAGENET.read_bytes()


def test_refused_import_leaves_the_earlier_model(tiny, tmp_path):
    source = tiny()
    earlier = build.import_onnx(tmp_path / "model", source, label_file=source.with_name("labels.txt"))
    with pytest.raises(ContractError):
        build.import_onnx(tmp_path / "model", tiny(bias=np.full(7, np.nan, np.float32)))
    assert check.check_directory(tmp_path / "model") == earlier
    assert {path.name for path in tmp_path.iterdir()} == {"model", "source"}


def test_wrong_number_of_labels_is_refused(tiny, tmp_path):
    with pytest.raises(ContractError, match="7 classes, but there are 1000 labels"):
        build.import_onnx(tmp_path / "model", tiny())
    assert not (tmp_path / "model").exists()


def test_labels_that_would_replace_the_manifest_are_refused(tiny, tmp_path):
    source = tiny()
    other = tmp_path / "other"
    other.mkdir()
    label_file = source.with_name("labels.txt").rename(other / "model.json")
    with pytest.raises(ContractError, match=r"cannot be named model\.json"):
        build.import_onnx(tmp_path / "model", source, label_file=label_file)


@pytest.mark.parametrize(
    ("name", "kept"),
    [("my model.onnx", "my_model.onnx"), (".hidden.onnx", "_.hidden.onnx"), ("caf\u00e9 (2).onnx", "caf_2_.onnx")],
)
def test_a_file_of_any_name_is_imported(tiny, tmp_path, name, kept):
    """The manifest takes plain names only; the model keeps its own."""
    made = build.import_onnx(tmp_path / "model", tiny(name, classes=1000))
    assert (made.name, made.onnx.file) == (name.removesuffix(".onnx"), kept)
    assert check.check_directory(tmp_path / "model") == made


@pytest.mark.parametrize("working_folder", ["another", "the model's"])
def test_weights_in_a_second_file_are_put_into_the_graph(tiny, classifier, tmp_path, monkeypatch, working_folder):
    source = tiny()
    onnx.save(classifier(), source, save_as_external_data=True, location="weights.bin", size_threshold=0)
    monkeypatch.chdir(source.parent if working_folder == "the model's" else "/")
    made = build.import_onnx(tmp_path / "model", source, label_file=source.with_name("labels.txt"))
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"tiny.onnx", "labels.txt", "model.json"}
    assert check.check_directory(tmp_path / "model") == made
    assert onnx.load(tmp_path / "model" / "tiny.onnx", load_external_data=False).graph == classifier().graph


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(ContractError, match="is not a file"):
        build.import_onnx(tmp_path / "model", tmp_path / "none.onnx")


def test_a_file_in_the_directorys_place_is_refused(tiny, tmp_path):
    (tmp_path / "model").write_text("occupied")
    with pytest.raises(ModelBuildError, match="is not a folder"):
        build.import_onnx(tmp_path / "model", tiny(classes=1000))


def test_mobilenet_asset(assets, tmp_path):
    made = build.import_onnx(tmp_path / "model", assets / "models" / "mobilenet_v2_imagenet.onnx")
    assert check.check_directory(tmp_path / "model") == made
    assert made.labels.sha256 == manifest.file_sha256(assets / "models" / "imagenet_classes.txt")
    assert json.loads((tmp_path / "model" / "model.json").read_bytes())["output"]["shape"] == ["N", 1000]
