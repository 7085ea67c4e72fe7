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


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_two_passes_equal_pillows_one_resize(threads, interpolation):
    random = np.random.default_rng(12)
    for seed in range(40):
        width, height = (int(side) for side in random.integers(200, 1400, 2))
        image = noise(width, height, seed)
        resized = image.resize(transform._resized(image.size, 232), transform.FILTERS[interpolation].pillow)
        left, top = round((resized.width - 224) / 2.0), round((resized.height - 224) / 2.0)
        expected = np.asarray(resized.crop((left, top, left + 224, top + 224)))
        found = crop_pixels(image, 232, 224, interpolation, threads=threads)
        assert np.array_equal(found, expected), (width, height)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [(96, 192), (300, 100)])
def test_squashed_pictures_equal_pillows_resize(threads, size):
    """There Pillow begins with either pass."""
    for width, height in ((300, 200), (200, 300), (640, 480), (480, 640), (500, 40), (190, 500), (100, 250)):
        image = noise(width, height)
        expected = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))
        assert np.array_equal(crop_pixels(image, size, size, threads=threads), expected), (width, height)


def test_a_smaller_form_is_resized_to_what_the_whole_one_would_be():
    """The whole one's proportions count: half of 463 pixels is not half a pixel."""
    whole = Image.linear_gradient("L").convert("RGB").resize((1853, 1001))
    expected = crop_pixels(whole, 232, 224).astype(int)
    found = crop_pixels(whole.resize((927, 501), Image.Resampling.BOX), 232, 224, size=whole.size)
    assert np.abs(found - expected).max() <= 2


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


def torchvisions(image: Image.Image, resize: list[int], crop: list[int]) -> np.ndarray:
    """torchvision's bicubic resize and centre crop of a PIL image."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import functional as F  # noqa: N812 -- torchvision's own convention

    return np.asarray(F.center_crop(F.resize(image, resize, InterpolationMode.BICUBIC, antialias=True), crop))


@pytest.mark.usefixtures("torchvision_pixels")
class TestBicubic:
    """Of sharp noise: its kernel is negative in places, and levels are cut off at 0 and 255."""

    @pytest.mark.parametrize("windowed", [False, True])
    @pytest.mark.parametrize("size", [size for size in SIZES if max(size) / min(size) < 500])
    def test_pixels_equal_torchvisions(self, size, windowed, monkeypatch):
        if windowed:
            monkeypatch.setattr(transform, "_LARGEST_RESIZED", 0)
        image = noise(*size)
        found = crop_pixels(image, 232, 224, "bicubic")
        assert np.array_equal(found, torchvisions(image, [232], [224, 224]))

    @pytest.mark.parametrize("windowed", [False, True])
    @pytest.mark.parametrize("resize", [(96, 192), (120, 200), (96, 300)])
    def test_squashed_and_oblong(self, resize, windowed, monkeypatch):
        if windowed:
            monkeypatch.setattr(transform, "_LARGEST_RESIZED", 0)
        for seed, size in enumerate([(300, 200), (90, 400), (192, 96), (17, 5), (700, 96), (192, 500)]):
            image = noise(*size, seed)
            found = crop_pixels(image, resize, (96, 192), "bicubic")
            assert np.array_equal(found, torchvisions(image, list(resize), [96, 192])), size

    def test_a_strip_equals_pillows(self):
        """Its resized picture has 11 megapixels, of which only the window is computed."""
        image = noise(8, 2000)
        resized = image.resize((232, 58000), Image.Resampling.BICUBIC)
        expected = np.asarray(resized)[round((58000 - 224) / 2) :][:224, 4:228]
        assert np.array_equal(crop_pixels(image, 232, 224, "bicubic"), expected)


def test_levels_are_scaled_as_torchvision_does_or_by_the_factor():
    image = Image.new("RGB", (300, 400), (255, 0, 51))
    unit = Preprocessing(mean=(0, 0, 0), std=(1, 1, 1)).tensor(image)
    assert unit[0, :, 0, 0].tolist() == [1.0, 0.0, np.float32(51) / np.float32(255)]
    levels = Preprocessing(mean=(0, 0, 0), std=(1, 1, 1), scale=1.0).tensor(image)
    assert levels[0, :, 0, 0].tolist() == [255.0, 0.0, 51.0]
