"""The manifest is canonical, complete and strict."""

import hashlib
import json

import pytest

from model_build import manifest
from model_build.errors import ContractError
from model_build.manifest import Labels, Manifest, Onnx, Output, Weights

SHA = "ab" * 32


def example(**changes):
    fields = {
        "name": "resnet50",
        "version": "IMAGENET1K_V2",
        "trained": True,
        "weights": Weights(name="ResNet50_Weights.IMAGENET1K_V2", sha256=SHA),
        "onnx": Onnx(file="resnet50.onnx", sha256=SHA, bytes=102_000_000, opset=18),
        "output": Output(shape=("N", 1000)),
        "labels": Labels(file="imagenet_classes.txt", count=1000, sha256=SHA),
        "versions": {"torch": "2.13.0"},
    }
    return Manifest(**{**fields, **changes})


def test_canonical_json_has_the_documented_members():
    data = json.loads(example().canonical())
    assert data == {
        "format": "blindsight-model/1",
        "name": "resnet50",
        "version": "IMAGENET1K_V2",
        "trained": True,
        "weights": {"name": "ResNet50_Weights.IMAGENET1K_V2", "sha256": SHA},
        "onnx": {"file": "resnet50.onnx", "sha256": SHA, "bytes": 102_000_000, "opset": 18},
        "input": {"name": "input", "shape": ["N", 3, 224, 224], "dtype": "float32"},
        "output": {"name": "output", "shape": ["N", 1000], "activation": "softmax"},
        "preprocessing": {
            "resize": 232,
            "crop": 224,
            "interpolation": "bilinear",
            "antialias": True,
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
        },
        "labels": {"file": "imagenet_classes.txt", "count": 1000, "sha256": SHA},
        "versions": {"torch": "2.13.0"},
    }


def test_canonical_json_is_sorted_and_without_spaces():
    # RFC 8785 of ASCII names and these numbers is what sorted, compact JSON is.
    data = json.loads(example().canonical())
    assert example().canonical() == json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


def test_digest_is_the_sha256_of_the_file(tmp_path):
    (tmp_path / "model.json").write_bytes(example().canonical())
    assert manifest.read(tmp_path) == example()
    assert manifest.read(tmp_path).digest() == hashlib.sha256((tmp_path / "model.json").read_bytes()).digest()


def test_every_member_changes_the_digest():
    assert example(trained=False).digest() != example().digest()
    assert example(version="IMAGENET1K_V1").digest() != example().digest()


def test_non_canonical_file_is_refused(tmp_path):
    (tmp_path / "model.json").write_bytes(example().canonical() + b"\n")
    with pytest.raises(ContractError, match="not canonical"):
        manifest.read(tmp_path)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(ContractError, match=r"model\.json cannot be read"):
        manifest.read(tmp_path)


@pytest.mark.parametrize(
    ("member", "value", "place"),
    [
        ("trained", "yes", "trained"),
        ("surprise", 1, "surprise"),
        ("labels", {"file": "../labels.txt", "count": 1000, "sha256": SHA}, "labels.file"),
        ("labels", {"file": ".hidden", "count": 1000, "sha256": SHA}, "labels.file"),
        ("weights", {"name": "w", "sha256": "abc"}, "weights.sha256"),
        ("format", "blindsight-model/3", "format"),
        ("precision", {"name": "int8"}, "precision"),
    ],
)
def test_invalid_member_is_refused_by_name(tmp_path, member, value, place):
    data = json.loads(example().canonical()) | {member: value}
    (tmp_path / "model.json").write_text(json.dumps(data, sort_keys=True, separators=(",", ":")))
    with pytest.raises(ContractError, match=rf"not a valid manifest: {place}:"):
        manifest.read(tmp_path)


def test_versions_have_no_local_label():
    versions = manifest.installed_versions("torch", "numpy")
    assert set(versions) == {"torch", "numpy"}
    assert not any("+" in version for version in versions.values())
