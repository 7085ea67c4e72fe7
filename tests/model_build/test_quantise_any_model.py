"""Int8 variants of models of other shapes than ResNet50's, calibrated with what the function gives them."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from model_build import function, images, manifest, quantise
from model_build.answers import Expected
from model_build.cli import main
from model_build.errors import ContractError
from model_build.synthetic import pictures
from photo_classifier import manifest as deployed
from photo_classifier.decode import picture
from photo_classifier.transform import Preprocessing
from tests.support.graphs import Graph
from tests.support.networks import CLASSES, Shape, network

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
SHAPES = {
    "channels last, oblong, bicubic, BGR": (
        Shape(name="pixels", layout="NHWC", size=(96, 128)),
        Preprocessing((100, 130), (96, 128), *HALF, interpolation="bicubic", channels="BGR"),
        ["--resize", "100x130", "--interpolation", "bicubic", "--channels", "BGR", "--normalisation", "half"],
    ),
    "a fixed batch, large JPEGs scaled, multi-label": (
        Shape(size=(32, 32), batch=3),
        Preprocessing(33, 32),
        ["--activation", "sigmoid", "--dct-scaling"],
    ),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for index, each in enumerate(pictures(100, seed=7)):
        each.crop((0, 0, 256, 200)).save(folder / f"{index:03}.{'jpg' if index % 4 < 2 else 'png'}")
    return folder


@pytest.fixture(scope="module", params=SHAPES.values(), ids=SHAPES.keys())
def pair(request, photos, tmp_path_factory):
    """The float32 directory and that of its int8 variant."""
    shape, preprocessing, options = request.param
    folder = tmp_path_factory.mktemp("models")
    onnx.save(network(shape, layers=4, preprocessing=preprocessing), folder / "any.onnx")
    (folder / "imagenet_classes.txt").write_text("".join(f"class {index}\n" for index in range(CLASSES)))
    source, out = folder / "float32", folder / "int8"
    assert main(["build", "--onnx", str(folder / "any.onnx"), *options, "--out", str(source)]) == 0
    arguments = ["--model", str(source), "--out", str(out), "--images", str(photos), "--no-speed-test"]
    assert main(["quantise", *arguments]) == 0
    return source, out


def inputs(folder, paths):
    """As the function preprocesses them, by the manifest in `folder`."""
    files = deployed.read(folder)
    return [
        files.input.of_picture(picture(path.read_bytes(), least_side=files.least_side), files.preprocessing)
        for path in paths
    ]


def run(folder, tensors):
    described = manifest.read(folder)
    session = onnxruntime.InferenceSession(
        str(folder / described.onnx.file),
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["WeightBiasQuantization"],
    )
    given = described.facts.input
    count = 1 if given.batch == "free" else given.batch
    return np.concatenate(
        [session.run(["output"], {given.name: np.repeat(each, count, axis=0)})[0][:1] for each in tensors]
    )


def test_the_manifest_keeps_every_fact_and_states_the_agreement_of_the_deployed_preprocessing(pair, photos):
    source, out = pair
    before, after = manifest.read(source), manifest.read(out)
    assert (after.format, after.facts, after.decoding) == ("blindsight-model/2", before.facts, before.decoding)
    assert after.precision.of == before.onnx.sha256
    others = inputs(out, sorted(photos.iterdir())[1::2])
    expected, found = run(source, others), run(out, others)
    assert len(set(expected.argmax(axis=1))) > 2, "pictures of one class prove nothing"
    agreed = after.precision.agreement
    assert (agreed.images, agreed.set) == (50, "given")
    assert agreed.top1 == pytest.approx(np.mean(expected.argmax(axis=1) == found.argmax(axis=1)), abs=1e-4)
    difference = np.abs(found - expected) / np.ptp(expected, axis=1, keepdims=True)
    assert agreed.logits == pytest.approx(difference.max(), abs=1e-3)


def test_the_calibration_images_are_preprocessed_as_the_function_does(pair, photos):
    source, _ = pair
    calibrating = images.given(photos, source, manifest.read(source).facts.input).calibrating()
    found = np.concatenate(list(calibrating))
    assert np.array_equal(found, np.concatenate(inputs(source, sorted(photos.iterdir())[::2])))


def test_the_directory_passes_the_check(pair):
    assert main(["check", str(pair[1])]) == 0


def test_the_function_serves_it(pair, photos):
    _, out = pair
    paths = sorted(photos.iterdir())[:4]
    with function.output("answers", "--model", str(out), *map(str, paths)) as lines:
        found = [json.loads(line)["predictions"][0]["class_id"] for line in lines]
    assert found == list(run(out, inputs(out, paths)).argmax(axis=1))


def test_other_facts_beside_the_file_leave_nothing_of_the_agreement(pair, tmp_path):
    """It was measured with another transform."""
    folder = shutil.copytree(pair[1], tmp_path / "int8")
    graph = str(folder / manifest.read(folder).onnx.file)
    assert main(["build", "--onnx", graph, "--out", str(tmp_path / "same")]) == 0
    assert manifest.read(tmp_path / "same").precision == manifest.read(folder).precision
    assert main(["build", "--onnx", graph, "--normalisation", "clip", "--out", str(tmp_path / "other")]) == 0
    assert json.loads((tmp_path / "other" / "model.json").read_bytes())["precision"] == {"name": "int8"}


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (Graph(size=(32, 32), dtype="uint8"), "an input of uint8: only models with float32 input and output"),
        (Graph(size=(32, 32), dtype="float16"), "an input of float16: only models with float32 input and output"),
        (Graph(size=(32, 32), classes=1), "has one class"),
    ],
    ids=["uint8", "float16", "one class"],
)
def test_what_has_no_int8_variant_is_refused_with_the_reason(tmp_path, graph, message, capsys):
    source = graph.save(tmp_path / "any.onnx")
    (tmp_path / "imagenet_classes.txt").write_text("".join(f"class {index}\n" for index in range(graph.classes)))
    assert main(["build", "--onnx", str(source), "--out", str(tmp_path / "m")]) == 0
    assert main(["quantise", "--model", str(tmp_path / "m"), "--out", str(tmp_path / "q"), "--no-speed-test"]) == 1
    error, step = capsys.readouterr().err.splitlines()[-2:]
    assert message in error
    assert step.startswith("next:")
    assert not (tmp_path / "q").exists()


def test_the_variant_itself_must_give_expected_answers(pair, photos, tmp_path):
    source, _ = pair
    path = min(photos.iterdir())
    worst = int(run(source, inputs(source, [path]))[0].argmin())
    with pytest.raises(ContractError, match="1 of 1 answers do not come out"):
        quantise.quantise(
            tmp_path / "m",
            source,
            photos=photos,
            speed_test=False,
            expected=[Expected(path, f"class {worst}")],
            say=lambda _line: None,
        )
    assert not (tmp_path / "m").exists()


def test_photos_in_any_format_that_is_decoded_calibrate(pair, photos, tmp_path):
    """Even for a model that accepts one of them only."""
    source, _ = pair
    assert main(["build", "--directory", str(source), "--formats", "webp", "--out", str(tmp_path / "webp")]) == 0
    assert len(list(images.given(photos, tmp_path / "webp", manifest.read(source).facts.input).others(()))) > 0


def test_a_photo_larger_than_the_limit_is_named(pair, photos, tmp_path):
    folder = shutil.copytree(photos, tmp_path / "photos")
    Image.new("1", (9000, 9000)).save(folder / "002.png")
    said = []
    chosen = images.given(folder, pair[0], manifest.read(pair[0]).facts.input, said.append)
    assert sum(map(len, chosen.calibrating())) == 49
    (line,) = said
    assert re.fullmatch(r"Left out: .*/002\.png: The image has 9000x9000 pixels, more than \d+\.", line)
