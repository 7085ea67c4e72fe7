"""The mutations of the campaign: the same for a seed, and damage of the kinds that they are named after."""

from __future__ import annotations

import io
import random
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from benchmarks.documented import Undocumented, classification, code_of, problem_code
from benchmarks.mutated import damaged_blocks
from benchmarks.mutated.blocks import LAYOUTS
from benchmarks.mutated.mutations import WHOLE, mutated
from benchmarks.mutated.originals import FORMATS, Original, of_photos
from blindsight.problems import CATALOGUE

if TYPE_CHECKING:
    from pathlib import Path


ORDER = {"blocks shuffled", "blocks swapped"}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Original]:
    path: Path = tmp_path_factory.mktemp("photos") / "photo.jpeg"
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((160, 120), Image.Resampling.BICUBIC).save(path)
    return of_photos([path])


def test_an_original_of_blocks_is_written_as_it_was(originals: list[Original]) -> None:
    assert {each.format for each in originals} > set(FORMATS)
    for each in originals:
        if each.format in LAYOUTS:
            layout = LAYOUTS[each.format]
            assert layout.write(layout.read(each.content)) == each.content, each.name


def test_a_seed_gives_the_same_images_and_another_seed_others(originals: list[Original]) -> None:
    first = [mutated("1", number, originals) for number in range(100)]
    assert first == [mutated("1", number, originals) for number in range(100)]
    again = [mutated("2", number, originals) for number in range(100)]
    assert sum(one == other for one, other in zip(first, again, strict=True)) < 5


@pytest.mark.parametrize(
    ("image_format", "name"),
    [
        (image_format, name)
        for image_format in FORMATS
        for name in {**damaged_blocks.GENERAL, **damaged_blocks.OF_FORMAT[image_format]}
    ],
)
def test_every_mutation_of_blocks_changes_every_variant(
    image_format: str, name: str, originals: list[Original]
) -> None:
    change = {**damaged_blocks.GENERAL, **damaged_blocks.OF_FORMAT[image_format]}[name]
    layout = LAYOUTS[image_format]
    for original in originals:
        # Of one block alone there is no other order.
        if original.format == image_format and not (name in ORDER and len(layout.read(original.content)) < 2):
            made = {layout.write(change(random.Random(number), layout.read(original.content))) for number in range(8)}
            assert made - {original.content}, original.name


@pytest.mark.parametrize("name", list(WHOLE))
def test_every_mutation_of_files_changes_every_format(name: str, originals: list[Original]) -> None:
    for original in originals:
        made = {WHOLE[name](random.Random(number), original.content, originals) for number in range(8)}
        assert made - {original.content}, original.name


def test_filters_and_pixels_are_damaged_behind_right_checksums(originals: list[Original]) -> None:
    original = next(each for each in originals if each.name.endswith("png RGB"))
    layout = LAYOUTS["png"]
    made = damaged_blocks.OF_FORMAT["png"]["PNG: filters"](random.Random(0), layout.read(original.content))
    (pixels,) = (block.content for block in made if block.kind == b"IDAT")
    assert len(zlib.decompress(pixels)) == 120 * (1 + 3 * 160)


def test_a_decompression_bomb_is_one(originals: list[Original]) -> None:
    bomb = damaged_blocks.OF_FORMAT["png"]["PNG: decompression bomb"]
    layout = LAYOUTS["png"]
    blocks = layout.read(next(each.content for each in originals if each.format == "png"))
    made = [layout.write(bomb(random.Random(number), blocks)) for number in range(20)]
    assert max(map(len, made)) < 1 << 20
    assert max(len(zlib.decompress(layout.read(each)[1].content)) for each in made) == 200 << 20
    with Image.open(io.BytesIO(made[0])) as image:
        assert image.format == "PNG"


GOOD = {
    "type": "/problems#not_an_image",
    "title": "The body is not an image",
    "status": 422,
    "detail": "No.",
    "code": "not_an_image",
    "retryable": False,
}


def test_only_problems_of_the_catalogue_are_documented() -> None:
    assert CATALOGUE["not_an_image"].status == 422
    assert code_of(GOOD) == "not_an_image"
    for wrong in ({"status": 500}, {"retryable": True}, {"code": "new"}, {"title": "Other"}, {"detail": None}):
        with pytest.raises(Undocumented):
            code_of({**GOOD, **wrong})
    for status, content in ((400, b"{}"), (500, b"Internal Server Error"), (422, b"[]"), (422, b'"text"')):
        with pytest.raises(Undocumented):
            problem_code(status, content)


def test_an_answer_without_classes_or_with_other_ranks_is_not_documented() -> None:
    entry = '{"rank": %d, "class_id": 1, "label": "a", "score": %s}'
    text = '{"predictions": [%s], "image": {"width": 1, "height": 1}, "timings_ms": {"run": 1.0}}'
    good = text % f"{entry % (1, '0.6')}, {entry % (2, '0.4')}"
    assert classification(good.encode())["predictions"][0]["score"] == 0.6
    for predictions in ("", entry % (2, "0.6"), entry % (1, "1.6"), f"{entry % (1, '0.1')}, {entry % (2, '0.4')}"):
        with pytest.raises(Undocumented):
            classification((text % predictions).encode())
    for wrong in (b"", b"[]", b"{}", good.replace('"width": 1', '"width": 0').encode()):
        with pytest.raises(Undocumented):
            classification(wrong)
