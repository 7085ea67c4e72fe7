"""Files of the Hugging Face hub beside a graph say its labels, its transform and whether it is multi-label."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from model_build import hugging_face
from model_build.cli import main
from tests.support.graphs import Graph

HALF = [0.5, 0.5, 0.5]
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
LABELS = {"id2label": {str(index): f"tag {index}" for index in range(7)}}

VIT = {
    "do_normalize": True, "do_rescale": True, "do_resize": True, "image_processor_type": "ViTImageProcessor",
    "image_mean": HALF, "image_std": HALF, "resample": 2, "rescale_factor": 0.00392156862745098,
    "size": {"height": 224, "width": 224},
}  # fmt: skip
"""As google/vit-base-patch16-224 and the NSFW detectors made of it have it."""

CONVNEXT = {
    "crop_pct": 0.875, "do_normalize": True, "do_resize": True, "feature_extractor_type": "ConvNextFeatureExtractor",
    "resample": 3, "size": {"shortest_edge": 224}, **IMAGENET,
}  # fmt: skip

CLIP = {
    "crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "do_resize": True, "do_rescale": True,
    "image_processor_type": "CLIPImageProcessor", "resample": 3, "size": {"shortest_edge": 256}, **IMAGENET,
}  # fmt: skip

EFFICIENTNET = {
    "do_center_crop": False, "do_normalize": True, "do_rescale": True, "do_resize": True, "rescale_offset": True,
    "image_processor_type": "EfficientNetImageProcessor", "image_mean": [0, 0, 0], "image_std": [1, 1, 1],
    "resample": 3, "rescale_factor": 1 / 127.5, "size": {"height": 224, "width": 224},
}  # fmt: skip

MOBILEVIT = {
    "crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "do_flip_channel_order": True,
    "do_normalize": False, "do_resize": True, "image_processor_type": "MobileViTImageProcessor", "resample": 2,
    "size": {"shortest_edge": 256},
}  # fmt: skip

TIMM = {
    "pretrained_cfg": {
        "input_size": [3, 224, 224], "interpolation": "bicubic", "crop_pct": 0.9, "crop_mode": "center",
        "mean": HALF, "std": HALF,
    },
    "label_names": [f"tag {index}" for index in range(7)],
}  # fmt: skip


@pytest.fixture
def build(tmp_path, capsys):
    """Import a graph with such files beside it: its manifest and labels, or the lines of the refusal."""

    def run(*options: str, graph: Graph | None = None, folder: str = "", **files: Any):
        place = tmp_path / "hub" / folder
        place.mkdir(parents=True)
        graph = graph or Graph(names=("pixel_values", "logits"), open_axes=("num_channels", "height", "width"))
        source, out = graph.save(place / "model.onnx"), tmp_path / "model"
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / "hub" / f"{name}.json").write_text(text)
        status = main(["build", "--onnx", str(source), "--out", str(out), *options])
        lines = capsys.readouterr().err.splitlines()
        if status:
            assert not out.exists()
            return lines
        made = json.loads((out / "model.json").read_bytes())
        return made, (out / made["labels"]["file"]).read_text().splitlines()

    return run


@pytest.mark.parametrize("folder", ["", "onnx"])
@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        (VIT, {"resize": [224, 224], "interpolation": "bilinear", "mean": HALF, "std": HALF}),
        (CONVNEXT, {"resize": 256, "interpolation": "bicubic"}),
        (CONVNEXT | {"size": {"shortest_edge": 384}}, {"resize": [384, 384], "crop": [384, 384]}),
        (CLIP, {"resize": 256, "crop": [224, 224], "interpolation": "bicubic"}),
        (CLIP | {"do_rescale": False, "do_normalize": False}, {"scale": 1, "mean": [0, 0, 0], "std": [1, 1, 1]}),
        (EFFICIENTNET, {"scale": 1 / 127.5, "mean": [1, 1, 1], "std": [1, 1, 1]}),
        (MOBILEVIT, {"channels": "BGR", "mean": [0, 0, 0], "std": [1, 1, 1], "resize": 256}),
    ],
    ids=["ViT", "ConvNeXT", "ConvNeXT 384", "CLIP", "CLIP of levels", "EfficientNet", "MobileViT"],
)
def test_transformers(build, processor, expected, folder):
    size = tuple(expected.get("crop", [224, 224]))
    graph = Graph(names=("pixel_values", "logits"), open_axes=("num_channels", "height", "width"), size=size)
    made, labels = build(folder=folder, graph=graph, preprocessor_config=processor, config=LABELS)
    assert made["preprocessing"] == made["preprocessing"] | expected
    assert labels == [f"tag {index}" for index in range(7)]


GOOGLES_EFFICIENTNET = {
    "do_center_crop": False, "do_normalize": True, "do_rescale": True, "do_resize": True, "include_top": True,
    "image_processor_type": "EfficientNetImageProcessor", "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.47853944, 0.4732864, 0.47434163], "resample": 3, "rescale_factor": 1 / 255,
    "rescale_offset": False, "size": {"height": 224, "width": 224},
}  # fmt: skip
"""As google/efficientnet-b0 has it, but for the filter: the roots of ImageNet's deviations, which divide twice."""


def efficientnets(level: float, config: dict[str, Any], channel: int) -> float:
    """The steps of transformers' EfficientNetImageProcessorPil._preprocess (5.24), for one level."""
    value, std = level, config["image_std"][channel]
    if config.get("do_rescale", True):
        value = value * config["rescale_factor"] - (1 if config.get("rescale_offset", False) else 0)
    if config.get("do_normalize", True):
        value = (value - config["image_mean"][channel]) / std
    if config.get("include_top", True):
        value = (value - 0) / std
    return value


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("absent", [(), ("include_top",), ("rescale_offset", "do_normalize", "do_rescale")])
def test_efficientnet_divides_twice(absent, named):
    for flags in itertools.product((True, False, None), repeat=4):
        config = GOOGLES_EFFICIENTNET | dict(
            zip(("do_rescale", "rescale_offset", "do_normalize", "include_top"), flags, strict=True)
        )
        config = {name: value for name, value in config.items() if name not in absent}
        if not named:
            del config["image_processor_type"]
            config |= {"include_top": True, "rescale_offset": False}
        told = hugging_face._transformers(config)
        stated = {name: value for name, value in config.items() if value is not None}
        for channel, level in itertools.product(range(3), (0, 100, 255)):
            found = (level * told.scale - told.mean[channel]) / told.std[channel]
            assert found == pytest.approx(efficientnets(level, stated, channel), abs=1e-9), flags


def test_the_product_of_googles_efficientnet_is_imagenets(build):
    made, _ = build(preprocessor_config=GOOGLES_EFFICIENTNET, config=LABELS)
    assert made["preprocessing"]["mean"] == IMAGENET["image_mean"]
    assert made["preprocessing"]["std"] == pytest.approx(IMAGENET["image_std"], abs=1e-5)


@pytest.mark.parametrize(
    "processor",
    [
        MOBILEVIT | {"do_flip_channel_order": None},
        {name: value for name, value in MOBILEVIT.items() if name != "do_flip_channel_order"},
        # It is not normalised, whatever the file says of it.
        MOBILEVIT | {"do_normalize": True, **IMAGENET},
        # As apple/mobilevit-small had it.
        {"crop_size": 224, "do_center_crop": True, "do_resize": True, "resample": 2, "size": 256,
         "feature_extractor_type": "MobileViTFeatureExtractor"},
        {"crop_size": 224, "resample": 2, "size": 256, "image_processor_type": "MobileViTImageProcessorFast"},
    ],
)  # fmt: skip
def test_mobilevit_takes_bgr_unless_told_otherwise(build, processor):
    made, _ = build(preprocessor_config=processor, config=LABELS)
    expected = {"channels": "BGR", "mean": [0, 0, 0], "std": [1, 1, 1], "resize": 256, "crop": [224, 224]}
    assert made["preprocessing"] == made["preprocessing"] | expected | {"scale": 1 / 255}


def test_mobilevit_takes_rgb_if_told(build):
    made, _ = build(preprocessor_config=MOBILEVIT | {"do_flip_channel_order": False}, config=LABELS)
    assert made["preprocessing"]["channels"] == "RGB"


@pytest.mark.parametrize("absent", ["do_resize", "do_rescale", "do_center_crop", "do_normalize"])
@pytest.mark.parametrize("null", [True, False])
def test_what_a_file_leaves_out_is_the_processors_default(build, absent, null):
    """So that CLIP's crops the centre, and does not squash."""
    processor = CLIP | {absent: None}
    if not null:
        del processor[absent]
    made, _ = build(preprocessor_config=processor, config=LABELS)
    assert made["preprocessing"] == made["preprocessing"] | {
        "resize": 256, "crop": [224, 224], "scale": 1 / 255, "mean": IMAGENET["image_mean"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        # As facebook/convnext-tiny-224 had it: one number is the edge that is cropped to.
        (CONVNEXT | {"size": 224}, {"resize": 256, "crop": [224, 224]}),
        ({name: value for name, value in CONVNEXT.items() if name != "crop_pct"}, {"resize": 256}),
        (CLIP | {"size": 256}, {"resize": 256, "crop": [224, 224]}),
        (VIT | {"size": 224}, {"resize": [224, 224], "crop": [224, 224]}),
        (VIT | {"size": 256, "image_processor_type": "DeiTImageProcessor", "crop_size": 224},
         {"resize": [256, 256], "crop": [224, 224]}),
    ],
    ids=["ConvNeXT", "ConvNeXT without crop_pct", "CLIP", "ViT", "DeiT"],
)  # fmt: skip
def test_a_size_of_one_number_is_what_the_processor_makes_of_it(build, processor, expected):
    made, _ = build(preprocessor_config=processor, config=LABELS)
    assert made["preprocessing"] == made["preprocessing"] | expected


def test_timm(build):
    made, labels = build(config=TIMM)
    taken = made["preprocessing"]
    assert (taken["resize"], taken["interpolation"], taken["mean"]) == (248, "bicubic", HALF)
    assert labels == [f"tag {index}" for index in range(7)]


@pytest.mark.parametrize(("kind", "activation"), [("multi_label_classification", "sigmoid"), (None, "softmax")])
def test_several_right_classes(build, kind, activation):
    made, _ = build(config=LABELS | {"problem_type": kind}, preprocessor_config=VIT)
    assert made["output"]["activation"] == activation


def test_options_go_before_the_files(build):
    made, _ = build("--normalisation", "imagenet", "--resize", "256", preprocessor_config=VIT, config=LABELS)
    taken = made["preprocessing"]
    assert (taken["resize"], taken["mean"], taken["interpolation"]) == (256, IMAGENET["image_mean"], "bilinear")


@pytest.mark.parametrize(
    ("processor", "reason"),
    [
        (VIT | {"image_processor_type": "LevitImageProcessor"}, "the transform of 'LevitImageProcessor' is not known"),
        (VIT | {"resample": 0}, "resampled by 0"),
        (VIT | {"do_resize": False}, "not resized"),
        (VIT | {"size": {"shortest_edge": 224}}, "keep their shape"),
        ({name: value for name, value in CLIP.items() if name != "image_processor_type"} | {"size": 224}, "one number"),
        (VIT | {"image_processor_type": "SiglipImageProcessor", "size": 224}, "keep their shape"),
        (VIT | {"do_pad": True}, "padded"),
        (CONVNEXT | {"crop_pct": 0}, "cannot be followed"),
        (CONVNEXT | {"crop_pct": 1e-320}, "cannot be followed"),
        (CLIP | {"size": {"shortest_edge": 224, "longest_edge": 300}}, "longest_edge"),
        (VIT | {"image_mean": [0.5]}, "cannot be followed"),
        (VIT | {"size": None}, "cannot be followed"),
        (["a list"], "is no object"),
        ("[" * 100_000, "too deeply nested"),
        ('{"size": 224, "size": 225}', "the same member twice"),
        (VIT | {"image_mean": [10**400] * 3}, "cannot be followed"),
        (VIT | {"size": {"height": 10**400, "width": 224}}, "less than or equal"),
        (VIT | {"image_processor_type": "Levit\nImageProcessor"}, "the transform of 'Levit"),
    ],
)
def test_what_is_not_understood_is_refused(build, processor, reason):
    _, error, step = build(preprocessor_config=processor, config=LABELS)
    assert reason in error
    assert step


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"pretrained_cfg": TIMM["pretrained_cfg"] | {"crop_mode": "border"}}, "in the mode border"),
        ({"pretrained_cfg": TIMM["pretrained_cfg"] | {"input_size": [1, 28, 28]}}, "have 1 channels"),
        ({"id2label": {"0": "a", "2": "b"}}, "cannot be followed"),
        ({"pretrained_cfg": TIMM["pretrained_cfg"] | {"crop_pct": 1e-320}}, "cannot be followed"),
        ({"pretrained_cfg": TIMM["pretrained_cfg"] | {"input_size": [3, 10**400, 10**400]}}, "cannot be followed"),
    ],
)
def test_a_configuration_that_is_not_understood_is_refused(build, config, reason):
    _, error, _ = build(config=config)
    assert reason in error
