"""`up --precision int8`: made once, told in banner, answers and `/info`; refused where it is not worth having."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import httpx2
import onnx
import pytest

from model_build import manifest
from photo_classifier.transform import Preprocessing
from tests.blindsight_cli.commands.test_up_models import refusal, up
from tests.support.command import blindsight
from tests.support.images import plain
from tests.support.networks import CLASSES, Shape, network, write_network

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.models import TinyModel


def test_an_int8_variant_is_made_once_and_told_wherever_the_model_is(tmp_path: Path) -> None:
    network = write_network(tmp_path / "network")
    for makes in (True, False):
        with up(tmp_path / "state", "--model", network, "--precision", "int8") as (process, port, output):
            assert process.poll() is None, output.read_text()
            address = f"http://127.0.0.1:{port}"
            answer = httpx2.post(f"{address}/classify", files={"file": plain(123)}, trust_env=False).json()
            info = httpx2.get(f"{address}/info", trust_env=False).json()
            assert ("Building the int8 variant" in output.read_text()) is makes
        assert answer["model"]["precision"] == "int8"
        assert "CALIBRATED ON SYNTHETIC PICTURES" in answer["notice"]
        stated = info["model"]["precision"]
        assert (stated["name"], stated["of"]) == ("int8", manifest.read(network).onnx.sha256)
        agreed = stated["agreement"]
        assert agreed["set"] == "synthetic"
        told = f"int8, best class as in float32 on {agreed['top1']:.1%} of {agreed['images']} synthetic images"
        assert told in output.read_text()
    made = next((tmp_path / "state" / "models").glob("int8-*"))
    assert f"{made} computes in int8" in refusal(tmp_path / "other", "--model", made, "--precision", "float32")


def test_it_goes_with_model_options_and_formats(tmp_path: Path) -> None:
    source = tmp_path / "any.onnx"
    shape = Shape(name="pixels", layout="NHWC")
    onnx.save(network(shape, preprocessing=Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))), source)
    (tmp_path / "imagenet_classes.txt").write_text("".join(f"class {index}\n" for index in range(CLASSES)))
    told = ("--model-options=--normalisation half --resize 232", "--formats", "jpeg,png", "--precision", "int8")
    with up(tmp_path / "state", "--model", source, *told) as (process, port, output):
        assert process.poll() is None, output.read_text()
        address = f"http://127.0.0.1:{port}"
        answer = httpx2.post(f"{address}/classify", files={"file": plain(123)}, trust_env=False).json()
        model = httpx2.get(f"{address}/info", trust_env=False).json()["model"]
    assert answer["model"]["precision"] == model["precision"]["name"] == "int8"
    assert (model["input"]["name"], model["input"]["layout"]) == ("pixels", "NHWC")
    assert model["preprocessing"]["mean"] == [0.5, 0.5, 0.5]
    assert model["formats"] == ["jpeg", "png"]
    assert model["decoding"] == {"dct_scaling": True}


def test_a_variant_that_is_not_faster_is_refused(colour_model: TinyModel, tmp_path: Path) -> None:
    graph = shutil.copyfile(colour_model.folder / "tiny.onnx", tmp_path / "shades.onnx")
    said = refusal(tmp_path / "state", "--model", graph, "--precision", "int8")
    # A thousand shades of grey, or a network of one small layer: which of the two is found first is not the point.
    assert "less than 98%" in said or "less than 1.5" in said
    assert list((tmp_path / "state" / "models").iterdir()) == []


@pytest.mark.parametrize("precision", [(), ("--precision", "float32")], ids=repr)
def test_images_without_int8_are_refused(tmp_path: Path, precision: tuple[str, ...]) -> None:
    done = blindsight(tmp_path, "up", "--images", tmp_path, *precision)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == "error: --images has no effect without --precision int8"
