"""The pixels that the model sees equal torchvision's, to the last grey level."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from photo_classifier import transform
from photo_classifier.transform import Preprocessing, crop_pixels

SIZES = [
    (1, 1), (1, 4000), (4000, 1), (2, 900), (3000, 10), (300, 231), (300, 232), (300, 233), (231, 300), (232, 232),
    (233, 900), (224, 224), (17, 5), (3, 100), (640, 480), (1200, 602),
]  # fmt: skip


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", SIZES)
def test_pixels_equal_torchvisions(size, torchvision_pixels):
    image = noise(*size)
    assert np.array_equal(crop_pixels(image, 232, 224), torchvision_pixels(image))


def test_pixels_equal_torchvisions_at_random_sizes(torchvision_pixels):
    random = np.random.default_rng(11)
    for seed in range(60):
        width, height = (int(side) for side in random.integers(1, 700, 2))
        image = noise(width, height, seed)
        assert np.array_equal(crop_pixels(image, 232, 224), torchvision_pixels(image)), image.size


@pytest.mark.parametrize("size", [size for size in SIZES if max(size) / min(size) < 500])
def test_the_windowed_resampler_equals_torchvision_at_every_size(size, torchvision_pixels, monkeypatch):
    monkeypatch.setattr(transform, "_LARGEST_RESIZED", 0)
    image = noise(*size)
    assert np.array_equal(crop_pixels(image, 232, 224), torchvision_pixels(image))


@pytest.mark.parametrize("size", [(1, 50_000), (50_000, 1), (2, 65_000)])
def test_extreme_shapes_need_little_memory(size, monkeypatch):
    resized = []
    monkeypatch.setattr(Image.Image, "resize", lambda self, *_: resized.append(self.size))
    pixels = crop_pixels(noise(*size), 232, 224)
    assert pixels.shape == (224, 224, 3)
    assert resized == []


def test_the_tensor_is_torchvisions(torchvision_pixels):
    from torchvision.models import ResNet50_Weights

    image = noise(500, 333)
    expected = ResNet50_Weights.DEFAULT.transforms()(image).numpy()[np.newaxis]
    tensor = Preprocessing().tensor(image)
    assert (tensor.dtype, tensor.shape) == (np.float32, (1, 3, 224, 224))
    assert np.abs(tensor - expected).max() < 1e-6


@pytest.mark.parametrize("size", [(500, 333), (240, 260), (1200, 602)])
def test_the_tensor_form_differs_by_at_most_one_grey_level(size, torchvision_pixels):
    """The example preprocessed a uint8 tensor, which torchvision resamples by other arithmetic than a PIL image."""
    import torch
    from torchvision.models import ResNet50_Weights

    image = noise(*size)
    weights = ResNet50_Weights.DEFAULT.transforms()
    example = weights(torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)).numpy()
    level = np.array([1 / 255 / std for std in Preprocessing().std]).reshape(3, 1, 1)
    assert (np.abs(Preprocessing().tensor(image)[0] - example) / level).max() <= 1.0001


def test_known_values():
    tensor = Preprocessing().tensor(Image.new("RGB", (300, 400), (255, 0, 51)))
    expected = [(1 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225]
    assert np.allclose(tensor, np.array(expected).reshape(1, 3, 1, 1), atol=1e-6)
