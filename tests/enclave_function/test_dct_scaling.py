"""Large JPEGs are decoded smaller where the manifest says so, and only then, and only as far as nothing is lost."""

from __future__ import annotations

import io
import json
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from photo_classifier import manifest
from photo_classifier.decode import decode, picture
from photo_classifier.problems import InputProblem, ModelError
from tests.support.models import write_colour_model

if TYPE_CHECKING:
    from collections.abc import Callable


def jpeg(width: int, height: int, **options: object) -> bytes:
    ramp = Image.linear_gradient("L")
    image = Image.merge("RGB", [ramp.rotate(turn).resize((width, height)) for turn in (0, 90, 180)])
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("size", "scaled"),
    [
        ((4000, 3000), (1000, 750)),
        ((3000, 4000), (750, 1000)),
        ((8160, 6144), (1020, 768)),
        ((1856, 928), (928, 464)),
        ((1855, 927), (1855, 927)),
        ((1200, 602), (1200, 602)),
        ((463, 300), (463, 300)),
        ((20_000, 500), (20_000, 500)),
    ],
)
def test_the_shorter_side_stays_at_least_as_long_as_asked(size, scaled):
    found = picture(jpeg(*size), least_side=464)
    assert (found.image.size, found.size) == (scaled, size)
    assert picture(jpeg(*size)).image.size == size


def test_a_turned_photo_has_the_size_that_is_seen():
    exif = Image.Exif()
    exif[0x0112] = 6
    found = picture(jpeg(2000, 1000, exif=exif), least_side=464)
    assert (found.image.size, found.size) == ((500, 1000), (1000, 2000))


def test_only_a_jpeg_is_decoded_smaller():
    out = io.BytesIO()
    Image.new("RGB", (2000, 2000), "red").save(out, "PNG")
    assert picture(out.getvalue(), least_side=464).image.size == (2000, 2000)


def outcome(decoder: Callable[[bytes], object], data: bytes) -> str:
    try:
        decoder(data)
    except InputProblem as problem:
        return problem.code
    return "decoded"


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 0}])
def test_missing_pixels_are_found_as_in_the_whole_picture(options):
    data = jpeg(2400, 1600, **options)
    outcomes = [
        (outcome(decode, data[:cut] + end), outcome(partial(picture, least_side=464), data[:cut] + end))
        for cut in (len(data) // 3, len(data) - 200)
        for end in (b"", b"\xff\xd9")
    ]
    assert [smaller for _, smaller in outcomes] == [whole for whole, _ in outcomes]
    assert outcomes[0][0] == outcomes[2][0] == "truncated_image"


def test_without_its_end_marker_it_is_whole():
    found = picture(jpeg(2400, 1600)[:-2], least_side=464)
    assert found.image.size == found.size == (2400, 1600)


@pytest.mark.parametrize(
    ("entry", "side"), [(None, None), ({"dct_scaling": False}, None), ({"dct_scaling": True}, 464)]
)
def test_the_manifest_decides(tmp_path, entry, side):
    folder = write_colour_model(tmp_path).folder
    described = json.loads((folder / "model.json").read_text())
    described.pop("decoding", None)
    if entry is not None:
        described["decoding"] = entry
    (folder / "model.json").write_text(json.dumps(described))
    assert manifest.read(folder).least_side == side


@pytest.mark.parametrize("entry", [True, {}, {"dct_scaling": 1}, {"dct_scaling": True, "scale": 8}, [], None])
def test_a_manifest_that_says_something_else_of_decoding_is_refused(tmp_path, entry):
    folder = write_colour_model(tmp_path).folder
    described = json.loads((folder / "model.json").read_text()) | {"decoding": entry}
    (folder / "model.json").write_text(json.dumps(described))
    with pytest.raises(ModelError, match="decoding"):
        manifest.read(folder)


def test_pixels_differ_by_little():
    data = jpeg(4000, 3000)
    whole, smaller = decode(data), picture(data, least_side=464)
    reduced = whole.resize(smaller.image.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(reduced).astype(int) - np.asarray(smaller.image)).mean() < 1
