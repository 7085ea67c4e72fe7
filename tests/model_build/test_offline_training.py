"""The way from an archive of pictures to a trained network, on archives that the tests draw."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from model_build.offline import data, evaluate, loop
from model_build.offline.network import Network, OfflineModel
from photo_classifier.transform import crop_pixels, normalise

CPU = torch.device("cpu")
COLOURS = {"red": (200, 40, 40), "turquoise": (40, 190, 180)}
SMALL = loop.Recipe(seed=3, epochs=1, batch=16, widths=(8, 8, 8))


def jpeg(colour, generator, size=(32, 32)):
    pixels = generator.normal(colour, 20, (size[1], size[0], 3)).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.fixture
def archive(tmp_path):
    """128 training and 16 test pictures of two colours."""
    path = tmp_path / "colours.zip"
    generator = np.random.default_rng(5)
    with zipfile.ZipFile(path, "w") as file:
        for split, count in (("train", 64), ("test", 8)):
            for name, colour in COLOURS.items():
                for number in range(count):
                    file.writestr(f"{split}/{name}/{number:04}.jpg", jpeg(colour, generator))
    return path


@pytest.fixture
def dataset(archive, tmp_path):
    return data.load(archive, tmp_path / "work", lambda _line: None)


@pytest.mark.parametrize("size", [(32, 32), (640, 427), (300, 533), (233, 232), (57, 224)])
def test_crops_are_those_of_the_deployed_function(size):
    image = Image.open(io.BytesIO(jpeg((90, 120, 150), np.random.default_rng(1), size)))
    ours = data.crop_pixels(image)
    product = crop_pixels(image, data.PREPROCESSING.resize, data.PREPROCESSING.crop)
    np.testing.assert_array_equal(ours, product)
    tensor = normalise(product, data.PREPROCESSING.mean, data.PREPROCESSING.std)
    np.testing.assert_array_equal(evaluate.normalise(ours[np.newaxis]), tensor)


@pytest.mark.parametrize("noise", [False, True])
def test_reduction_before_the_training_is_reduction_in_the_graph(noise):
    generator = np.random.default_rng(2)
    if noise:  # Goes beyond black and white by far when it is reduced.
        pixels = generator.integers(0, 256, (224, 224, 3), dtype=np.uint8)
    else:
        pixels = data.crop_pixels(Image.fromarray(generator.integers(0, 256, (40, 32, 3), dtype=np.uint8)))
    in_graph = OfflineModel([Network(2, (8,))]).reduce(torch.from_numpy(evaluate.normalise(pixels[np.newaxis])))
    before = loop.normalise(torch.from_numpy(data.reduce_pixels(pixels)).permute(2, 0, 1)[None])
    half_a_level = 0.5 / 255 / min(data.PREPROCESSING.std)
    assert (in_graph - before).abs().max() <= half_a_level + 1e-4


def test_a_small_picture_comes_back_as_it_was_before_it_was_enlarged():
    small = np.random.default_rng(3).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    found = data.reduce_pixels(data.crop_pixels(Image.fromarray(small)))
    assert np.abs(found.astype(int) - small).max() <= 1


def test_archive_is_read_in_order_of_names(dataset):
    assert dataset.classes == ("red", "turquoise")
    assert dataset.train.images.shape == (128, 32, 32, 3)
    assert dataset.train.labels.tolist() == [0] * 64 + [1] * 64
    assert dataset.test.labels.tolist() == [0] * 8 + [1] * 8
    assert dataset.train.images[:64].mean((0, 1, 2)) == pytest.approx(COLOURS["red"], abs=5)


def test_preprocessing_is_done_once_for_each_archive(archive, tmp_path, dataset):
    lines = []
    again = data.load(archive, tmp_path / "work", lines.append)
    assert lines == []
    np.testing.assert_array_equal(again.train.images, dataset.train.images)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("test/red/more.jpg", jpeg(COLOURS["red"], np.random.default_rng(6)))
    assert len(data.load(archive, tmp_path / "work", lines.append).test.labels) == 17
    assert len(lines) == 1


def test_unusable_archives_are_refused_with_the_reason(tmp_path):
    def refused(path):
        with pytest.raises(data.DataError) as caught:
            data.load(path, tmp_path / "work", lambda _line: None)
        assert "--data" in caught.value.next_step
        return str(caught.value)

    assert "No such file" in refused(tmp_path / "missing.zip")
    path = tmp_path / "archive.zip"
    path.write_bytes(b"no archive")
    assert "not a zip archive" in refused(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("train/cat/0000.jpg", b"")
    assert "1 training and 0 test classes" in refused(path)
    with zipfile.ZipFile(path, "w") as file:
        for member in ("train/cat/0.jpg", "train/dog/0.jpg", "test/cat/0.jpg", "test/dog/0.jpg"):
            file.writestr(member, b"no picture")
    assert "train/cat/0.jpg is not a readable picture" in refused(path)
    path.write_bytes(path.read_bytes().replace(b"no picture", b"NO picture"))
    assert "damaged" in refused(path)


def test_three_epochs_tell_two_colours_apart(dataset, tmp_path):
    recipe = loop.Recipe(seed=3, epochs=3, batch=8, widths=(32, 32, 32))
    lines = []
    network, progress = loop.train(dataset, recipe, CPU, tmp_path, resume=False, report=lines.append)
    pictures = loop.normalise(torch.from_numpy(dataset.test.images).permute(0, 3, 1, 2))
    with torch.inference_mode():
        found = network(pictures).argmax(1)
    assert found.tolist() == dataset.test.labels.tolist()
    assert len(progress.losses) == len(lines) == 3
    assert lines[0].startswith("epoch 1/3  loss ")


def test_the_seed_decides_the_weights(dataset, tmp_path):
    def weights(seed, folder):
        recipe = loop.Recipe(seed=seed, epochs=1, batch=16, widths=(8, 8, 8))
        network, _ = loop.train(dataset, recipe, CPU, tmp_path / folder, resume=False, report=lambda _line: None)
        return network.state_dict()

    first, same, other = weights(1, "a"), weights(1, "b"), weights(2, "c")
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_a_resumed_training_ends_as_an_uninterrupted_one(dataset, tmp_path):
    class StoppedError(Exception):
        pass

    def interrupt(line):
        if line.startswith("epoch 2/"):
            raise StoppedError

    recipe = loop.Recipe(seed=4, epochs=4, batch=16, widths=(8, 8, 8))
    whole, _ = loop.train(dataset, recipe, CPU, tmp_path / "whole", resume=True, report=lambda _line: None)
    with pytest.raises(StoppedError):
        loop.train(dataset, recipe, CPU, tmp_path / "parts", resume=True, report=interrupt)
    lines = []
    resumed, progress = loop.train(dataset, recipe, CPU, tmp_path / "parts", resume=True, report=lines.append)
    assert [line.split()[1] for line in lines] == ["3/4", "4/4"]
    assert len(progress.seconds) == 4
    expected = whole.state_dict()
    for name, value in resumed.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_a_finished_training_is_not_repeated(dataset, tmp_path):
    first, _ = loop.train(dataset, SMALL, CPU, tmp_path, resume=False, report=lambda _line: None)
    lines = []
    again, _ = loop.train(dataset, SMALL, CPU, tmp_path, resume=True, report=lines.append)
    assert lines == []
    assert not again.training
    assert torch.equal(again.head.weight, first.head.weight)


def test_a_checkpoint_of_another_recipe_is_refused(dataset, tmp_path):
    loop.train(dataset, SMALL, CPU, tmp_path, resume=False, report=lambda _line: None)
    other = loop.Recipe(seed=SMALL.seed + 1, epochs=1, batch=16, widths=(8, 8, 8))
    with pytest.raises(loop.CheckpointError, match="another seed, recipe or archive") as caught:
        loop.train(dataset, other, CPU, tmp_path, resume=True, report=lambda _line: None)
    assert "--resume" in caught.value.next_step


def test_a_damaged_checkpoint_is_refused(dataset, tmp_path):
    (tmp_path / loop.CHECKPOINT).write_bytes(b"no checkpoint")
    with pytest.raises(loop.CheckpointError, match="not a checkpoint"):
        loop.train(dataset, SMALL, CPU, tmp_path, resume=True, report=lambda _line: None)


def test_pictures_are_mirrored_in_every_second_epoch(dataset):
    augmentation = loop.Augmentation(dataset.train, SMALL, CPU)
    mirrored = []
    for epoch in (0, 1):
        flags = torch.zeros(len(dataset.train.labels), dtype=torch.bool)
        for drawn in augmentation.batches(epoch):
            flags[drawn.picture] = drawn.mirrored
        mirrored.append(flags)
    assert torch.equal(mirrored[0], ~mirrored[1])
    assert 0 < mirrored[0].sum() < len(mirrored[0])


def test_shifts_move_a_picture_by_up_to_two_pixels(dataset):
    augmentation = loop.Augmentation(dataset.train, SMALL, CPU)
    shifts = torch.stack([torch.stack(drawn[1:3]) for drawn in augmentation.batches(0)])
    assert set(shifts.unique().tolist()) == {0, 1, 2, 3, 4}

    def pictures(down, right, mirrored=False, cut=(-99, -99)):
        drawn = loop.Draw(*(torch.tensor([value]) for value in (7, down, right, mirrored, *cut)))
        return augmentation.pictures(drawn)

    unmoved, label = pictures(2, 2)
    original = loop.normalise(torch.from_numpy(dataset.train.images[7:8]).permute(0, 3, 1, 2))
    assert torch.equal(unmoved, original)
    assert label.tolist() == [dataset.train.labels[7]]
    moved, _ = pictures(4, 1)
    assert torch.equal(moved[:, :, :-2, 1:], original[:, :, 2:, :-1])
    flipped, _ = pictures(2, 2, mirrored=True)
    assert torch.equal(flipped, original.flip(3))
    side = SMALL.cutout
    cut, _ = pictures(2, 2, cut=(3, 20))
    assert not cut[:, :, 3 : 3 + side, 20 : 20 + side].any()
    assert torch.equal(cut[:, :, :3], original[:, :, :3])
    assert torch.equal(cut[:, :, :, :20], original[:, :, :, :20])
    assert torch.equal(cut[:, :, 3 + side :], original[:, :, 3 + side :])
