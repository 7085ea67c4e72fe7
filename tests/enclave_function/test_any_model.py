"""Classifiers of every shape: imported by the command line, loaded by the function, asked with photos and tensors.

The pixels are compared with torchvision's for the same transform.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from model_build.cli import main
from tests.support.graphs import Graph

torchvision = pytest.importorskip("model_build.torchvision_compat").import_torchvision()
from torchvision.transforms import InterpolationMode  # noqa: E402 -- after the check that it is there
from torchvision.transforms import functional as F  # noqa: E402, N812 -- likewise; torchvision's own convention

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def photo(width: int = 333, height: int = 250, seed: int = 0) -> Image.Image:
    """Noise over slopes: no two places are alike."""
    y, x = np.mgrid[0:height, 0:width]
    slopes = np.stack([x * 200 / width, y * 200 / height, 200 - x * 100 / width - y * 50 / height], axis=2)
    noise = np.random.default_rng(seed).integers(0, 56, slopes.shape)
    return Image.fromarray((slopes + noise).astype(np.uint8))


def levels(image, size, *, resize=None, interpolation="bilinear") -> np.ndarray:
    """torchvision's pixels, (1, 3, H, W)."""
    resize = resize or [round(size[0] * 232 / 224)]
    resized = F.resize(image, resize, interpolation=InterpolationMode(interpolation), antialias=True)
    return np.asarray(F.center_crop(resized, list(size))).transpose(2, 0, 1)[np.newaxis]


def normalised(pixels, mean=MEAN, std=STD, scale=1 / 255) -> np.ndarray:
    return (pixels * scale - np.reshape(mean, (1, 3, 1, 1))) / np.reshape(std, (1, 3, 1, 1))


def softmax(logits):
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


@pytest.fixture
def serve(tmp_path, load_app):
    """Import a graph with some options; the function that serves it, and its manifest."""

    def start(graph: Graph, *options: str, labels: int | None = None):
        source = graph.save(tmp_path / "any.onnx")
        (tmp_path / "imagenet_classes.txt").write_text(
            "".join(f"class {index}\n" for index in range(graph.classes if labels is None else labels))
        )
        command = ["build", "--onnx", str(source), "--out", str(tmp_path / "model"), "--no-dct-scaling", *options]
        assert main(command) == 0
        return load_app(tmp_path / "model"), json.loads((tmp_path / "model" / "model.json").read_bytes())

    return start


def assert_scores(function, encode, graph: Graph, transform, activation, *, offset=0, tolerance=1e-5) -> None:
    """Photos alone and in a batch, and tensors of them, get the scores of the graph on torchvision's pixels."""
    pictures = [photo(), photo(250, 400, 1), photo(600, 300, 2)]
    expected = [activation(graph.logits(transform(picture)))[0, offset:] for picture in pictures]
    encoded = [encode(picture, "PNG") for picture in pictures]
    count = graph.classes - offset
    for results in (
        [function.classify(data, top_k=count) for data in encoded],
        function.classify_batch(encoded, top_k=count),
    ):
        for result, scores in zip(results, expected, strict=True):
            predictions = result["predictions"]
            found = {each["class_id"]: each["score"] for each in predictions}
            assert [found[index] for index in range(count)] == pytest.approx(list(scores), abs=tolerance)
            assert [each["class_id"] for each in predictions] == list(np.argsort(-scores, kind="stable"))
            assert all(each["label"] == f"class {each['class_id']}" for each in predictions)


def plain(graph: Graph):
    return lambda picture: normalised(levels(picture, graph.size))


@pytest.mark.parametrize(
    "graph",
    [
        Graph(names=("pixel_values", "logits"), open_axes=("channels", "height", "width"), batch="batch"),
        Graph(layout="NHWC"),
        Graph(size=(96, 96)),
        Graph(size=(299, 299), layout="NHWC"),
        Graph(batch=1),
        Graph(batch=2),
        Graph(dtype="float16"),
        Graph(dtype="float16", layout="NHWC", batch=1),
        Graph(more=("features",)),
        Graph(names=("data", "resnetv17_dense0_fwd")),
    ],
    ids=[
        "names and open axes",
        "NHWC",
        "96",
        "299 NHWC",
        "batch 1",
        "batch 2",
        "half",
        "half NHWC batch 1",
        "two outputs",
        "zoo",
    ],
)
def test_what_the_graph_shows_is_found_out(serve, encode, graph):
    function, manifest = serve(graph)
    tolerance = 2e-2 if graph.dtype == "float16" else 1e-5
    assert_scores(function, encode, graph, plain(graph), softmax, tolerance=tolerance)
    assert manifest["format"] == "blindsight-model/2" or graph.more
    assert manifest["input"]["name"] == graph.names[0]
    assert manifest["output"]["name"] == graph.names[1]


@pytest.mark.parametrize(("layout", "batch"), [("NCHW", "N"), ("NHWC", 1)])
def test_levels_go_in_as_they_are(serve, encode, layout, batch):
    graph = Graph(dtype="uint8", layout=layout, batch=batch)
    function, manifest = serve(graph)
    assert_scores(function, encode, graph, lambda picture: levels(picture, graph.size), softmax)
    taken = manifest["preprocessing"]
    assert (taken["scale"], taken["mean"], taken["std"]) == (1, [0, 0, 0], [1, 1, 1])


HALF = (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("options", "resampling", "normalisation"),
    [
        (("--normalisation", "half"), {}, {"mean": HALF, "std": HALF}),
        (("--normalisation", "unit"), {}, {"mean": (0, 0, 0), "std": (1, 1, 1)}),
        (("--normalisation", "unit", "--std", "0.5"), {}, {"mean": (0, 0, 0), "std": HALF}),
        (
            ("--scale", "1/128", "--mean", "1", "--std", "0.5,1,2"),
            {},
            {"mean": (1, 1, 1), "std": (0.5, 1, 2), "scale": 1 / 128},
        ),
        (("--interpolation", "bicubic"), {"interpolation": "bicubic"}, {}),
        (("--resize", "256"), {"resize": [256]}, {}),
        (("--resize", "224x224"), {"resize": [224, 224]}, {}),
        (("--resize", "240x300"), {"resize": [240, 300]}, {}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_told_is_done(serve, encode, options, resampling, normalisation):
    graph = Graph()
    function, _ = serve(graph, *options)

    def transform(picture):
        return normalised(levels(picture, graph.size, **resampling), **normalisation)

    assert_scores(function, encode, graph, transform, softmax)


def test_channels_are_in_the_order_that_is_told(serve, encode):
    graph = Graph()
    function, _ = serve(graph, "--channels", "BGR")
    assert_scores(function, encode, graph, lambda picture: normalised(levels(picture, graph.size)[:, ::-1]), softmax)


def test_an_oblong_input_gets_the_whole_picture(serve, encode):
    graph = Graph(size=(96, 192))
    function, manifest = serve(graph)
    assert manifest["preprocessing"]["resize"] == [96, 192]
    assert_scores(
        function, encode, graph, lambda picture: normalised(levels(picture, (96, 192), resize=[96, 192])), softmax
    )


def test_open_axes_are_of_the_size_that_is_told(serve, encode):
    graph = Graph(size=(128, 128), open_axes=("C", "H", "W"))
    function, manifest = serve(graph, "--size", "128")
    assert manifest["input"]["size"] == [128, 128]
    assert_scores(function, encode, graph, plain(graph), softmax)


def test_a_graph_that_takes_one_size_only_is_given_it(serve):
    """Its axes are open by name, but its weights are of one size."""
    _, manifest = serve(Graph(size=(384, 384), open_axes=("C", "H", "W")))
    assert manifest["input"]["size"] == [384, 384]


@pytest.mark.parametrize(
    ("tail", "options", "activation"),
    [
        ((("Softmax", {"axis": 1}),), (), softmax),
        ((("LogSoftmax", {"axis": 1}),), (), softmax),
        ((("Sigmoid", {}),), (), sigmoid),
        ((), ("--activation", "sigmoid"), sigmoid),
    ],
    ids=["softmax inside", "log softmax inside", "sigmoid inside", "sigmoid told"],
)
def test_scores_are_what_they_mean(serve, encode, tail, options, activation):
    graph = Graph(tail=tail)
    function, manifest = serve(graph, *options)
    assert manifest["output"].get("activation") == activation.__name__
    assert_scores(function, encode, graph, plain(graph), activation)


def test_a_single_class_is_scored_by_itself(serve, encode):
    graph = Graph(classes=1)
    function, manifest = serve(graph)
    assert manifest["output"]["activation"] == "sigmoid"
    assert_scores(function, encode, graph, plain(graph), sigmoid)


def test_the_background_class_has_no_label(serve, encode):
    graph = Graph(classes=1001)
    function, manifest = serve(graph, labels=1000)
    assert manifest["labels"]["offset"] == 1
    assert_scores(function, encode, graph, plain(graph), softmax, offset=1)


@pytest.mark.parametrize("graph", [Graph(classes=7), Graph(classes=1001)])
def test_a_label_for_each_value_is_no_offset(serve, graph):
    _, manifest = serve(graph)
    assert manifest["labels"].get("offset", 0) == 0


def test_values_that_keep_the_pooled_axes_are_taken(serve, encode):
    graph = _Pooled()
    function, _ = serve(graph)
    assert_scores(function, encode, graph, plain(graph), softmax)


class _Pooled(Graph):
    """Values (N, K, 1, 1), as of squeezenet in the ONNX zoo."""

    def model(self):
        from onnx import helper, numpy_helper

        model = super().model()
        model.graph.node[-1].output[0] = "flat"
        model.graph.node.append(helper.make_node("Unsqueeze", ["flat", "pooled_axes"], ["output"]))
        model.graph.initializer.append(numpy_helper.from_array(np.array([2, 3]), "pooled_axes"))
        return model


@pytest.mark.parametrize(
    "graph",
    [
        Graph(),
        Graph(size=(96, 64), layout="NHWC"),
        Graph(dtype="float16"),
        Graph(dtype="uint8", layout="NHWC"),
        Graph(batch=1),
    ],
    ids=["float32", "oblong NHWC", "float16", "uint8", "batch 1"],
)
def test_tensors_are_of_the_models_own_input(serve, graph):
    function, _ = serve(graph)
    shape = (3, *graph.size) if graph.layout == "NCHW" else (*graph.size, 3)
    generator = np.random.default_rng(3)
    numbers = (
        generator.integers(0, 256, (3, *shape)) if graph.dtype == "uint8" else generator.standard_normal((3, *shape))
    )
    tensors = numbers.astype(graph.dtype)
    assert tensors[0].nbytes == function.TENSOR_BYTES
    arranged = tensors if graph.layout == "NCHW" else tensors.transpose(0, 3, 1, 2)
    expected = softmax(graph.logits(arranged))
    single = function.classify(tensors[0].tobytes(), top_k=7)
    assert single["image"] is None
    tolerance = 2e-2 if graph.dtype == "float16" else 1e-4
    assert [each["score"] for each in single["predictions"]] == pytest.approx(sorted(expected[0])[::-1], abs=tolerance)
    several = json.loads(function.cape_handler(tensors.tobytes()))
    assert [next(iter(each)) for each in several] == [f"class {index}" for index in expected.argmax(axis=1)]


@pytest.mark.parametrize("length", [-1, 1])
def test_a_tensor_of_another_length_is_none(serve, length):
    function, _ = serve(Graph(size=(64, 64), dtype="uint8"))
    with pytest.raises(Exception, match="not a JPEG"):
        function.classify(bytes(64 * 64 * 3 + length))
