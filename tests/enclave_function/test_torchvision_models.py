"""Transformers and ConvNeXt of torchvision, exported as they are, served: the answers are torch's on its own transform.

Of the same code as `vit_b_16` and `convnext_tiny`, with fewer and narrower layers and random weights.
"""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest

from model_build.cli import main
from tests.enclave_function.test_any_model import photo

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("model_build.torchvision_compat").import_torchvision()

CLASSES = 1000


def vit():
    """Learnt positions: it takes one size only. Its head is zero until it is trained."""
    network = torchvision.models.VisionTransformer(
        image_size=224, patch_size=32, num_layers=2, num_heads=2, hidden_dim=48, mlp_dim=96, num_classes=CLASSES
    )
    torch.nn.init.normal_(network.heads.head.weight, std=0.2)
    return network


def convnext():
    setting = torchvision.models.convnext.CNBlockConfig
    blocks = [setting(16, 32, 1), setting(32, 48, 1), setting(48, None, 1)]
    return torchvision.models.ConvNeXt(blocks, layer_scale=0.5, num_classes=CLASSES)


NETWORKS = {
    "ViT": (vit, functools.partial(torchvision.models.ViT_B_16_Weights.IMAGENET1K_V1.transforms), ("--resize", "256")),
    "ConvNeXt": (
        convnext,
        functools.partial(torchvision.models.ConvNeXt_Tiny_Weights.IMAGENET1K_V1.transforms),
        ("--resize", "236"),
    ),
    "ConvNeXt bicubic": (
        convnext,
        functools.partial(
            torchvision.models.ConvNeXt_Tiny_Weights.IMAGENET1K_V1.transforms,
            interpolation=torchvision.transforms.InterpolationMode.BICUBIC,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
        ),
        ("--resize", "236", "--interpolation", "bicubic", "--normalisation", "half"),
    ),
}


@pytest.mark.parametrize("free", [True, False], ids=["any batch", "batch 1"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_answers_are_torchs(tmp_path, load_app, encode, name, free):
    make, transform, options = NETWORKS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = make().eval()
    with warnings.catch_warnings():
        # torch.export of torch 2.13 copies its own deprecated LeafSpec.
        warnings.filterwarnings("ignore", category=FutureWarning)
        torch.onnx.export(
            network,
            (torch.zeros(2 if free else 1, 3, 224, 224),),
            tmp_path / "network.onnx",
            input_names=["pixel_values"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},) if free else None,
            external_data=not free,
            dynamo=True,
            verbose=False,
        )
    arguments = ["--onnx", str(tmp_path / "network.onnx"), "--out", str(tmp_path / "model"), *options]
    assert main(["build", *arguments]) == 0
    function = load_app(tmp_path / "model")
    pictures = [photo(), photo(300, 500, 1), photo(900, 400, 2)]
    with torch.inference_mode():
        tensors = torch.stack([transform()(picture) for picture in pictures])
        expected = network(tensors).softmax(dim=1).numpy()
    results = function.classify_batch([encode(picture, "PNG") for picture in pictures], top_k=CLASSES)
    for result, scores in zip(results, expected, strict=True):
        found = {each["class_id"]: each["score"] for each in result["predictions"]}
        assert [found[index] for index in range(CLASSES)] == pytest.approx(scores.tolist(), rel=1e-3, abs=1e-7)
        assert [each["class_id"] for each in result["predictions"][:5]] == np.argsort(-scores)[:5].tolist()
