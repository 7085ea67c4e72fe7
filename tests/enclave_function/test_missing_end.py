"""JPEGs that end too early: with all their pixels they are classified, without some of them they are refused."""

from __future__ import annotations

import io
import time

import numpy as np
import pytest
from PIL import Image

from photo_classifier import decode as decode_module
from photo_classifier import jpeg as jpeg_parser
from photo_classifier import problems
from photo_classifier.decode import decode, picture
from photo_classifier.problems import InputProblem

END = b"\xff\xd9"
original = decode_module._opened


def noise(width: int = 45, height: int = 37, mode: str = "RGB") -> Image.Image:
    levels = np.random.default_rng(7).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(levels).convert(mode)


def smooth() -> Image.Image:
    y, x = np.mgrid[0:90, 0:120]
    return Image.fromarray(np.stack([x * 2, y * 2, x + y], axis=2).astype(np.uint8))


KINDS = {
    "baseline": lambda: encoded(noise()),
    "baseline, smooth": lambda: encoded(smooth()),
    "baseline, best": lambda: encoded(noise(), quality=100, subsampling=0),
    "baseline, own tables": lambda: encoded(smooth(), optimize=True),
    "baseline, restarts": lambda: encoded(noise(), restart_marker_blocks=2),
    "baseline, dark": lambda: encoded(Image.new("RGB", (256, 192), (3, 4, 5))),
    "baseline, black": lambda: encoded(Image.new("RGB", (256, 192))),
    "grey": lambda: encoded(noise(mode="L")),
    "CMYK": lambda: encoded(noise(mode="CMYK")),
    "progressive": lambda: encoded(noise(), progressive=True),
    "progressive, smooth": lambda: encoded(smooth(), progressive=True, quality=90),
    "progressive, grey": lambda: encoded(noise(mode="L"), progressive=True),
}


ODD = {
    "one row and column in the last block": lambda: encoded(noise(49, 33)),
    "one row and column, smooth": lambda: encoded(smooth().crop((0, 0, 113, 81)), quality=95),
    "one row and column, CMYK": lambda: encoded(noise(49, 33, mode="CMYK")),
    "one scan for each component": lambda: separate_scans(noise(64, 48)),
}


def separate_scans(image: Image.Image) -> bytes:
    """A baseline JPEG whose components are not interleaved: the scans of three grey ones."""
    first, *others = (encoded(plane) for plane in image.convert("YCbCr").split())
    frame, tables = first.index(b"\xff\xc0"), first.index(b"\xff\xc4")
    header = b"\xff\xc0\x00\x11" + first[frame + 4 : frame + 9] + b"\x03\x01\x11\x00\x02\x11\x00\x03\x11\x00"
    content = first[:frame] + header + first[tables : first.rindex(b"\xff\xda")]
    for number, data in enumerate((first, *others), start=1):
        content += b"\xff\xda\x00\x08\x01" + bytes([number]) + b"\x00\x00\x3f\x00"
        content += data[data.rindex(b"\xff\xda") + 10 : -2]
    return content + END


def encoded(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.fixture(params=KINDS)
def jpeg(request) -> bytes:
    data = KINDS[request.param]()
    assert data.endswith(END)
    return data


@pytest.mark.parametrize(
    "rest",
    [b"", b"\xff", bytes(1), bytes(3000), b"\xff" * 3000, b"\xff\xfe\x00\x20cut off"],
    ids=["nothing", "half of it", "a zero", "zeros", "erased flash", "a comment that is cut off"],
)
def test_without_its_end_marker(jpeg, rest):
    assert np.array_equal(np.asarray(decode(jpeg[:-2] + rest)), np.asarray(decode(jpeg)))


def test_exif_still_turns_it(photo):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(photo, exif=exif)
    assert np.array_equal(np.asarray(decode(data[:-2])), np.asarray(decode(data)))
    assert decode(data[:-2]).size == (60, 90)


@pytest.mark.parametrize("ending", [b"", bytes(3000)], ids=["cut", "filled with zeros"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.98])
def test_missing_pixels_are_named(jpeg, share, ending):
    """98 % of a file is most of a photo: what would be guessed of the rest is not said in an answer."""
    found = outcome(cut_short(jpeg, share) + ending, whole=jpeg)
    assert found in {problems.TRUNCATED_IMAGE, "the same picture"}
    if len(jpeg) > 2000:
        assert found == problems.TRUNCATED_IMAGE


@pytest.mark.parametrize("least_side", [None, 16])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("kind", [kind for kind in (*KINDS, *ODD) if not kind.startswith("progressive")])
def test_missing_pixels_before_an_end_marker_are_named(kind, share, least_side):
    """A camera's or a tool's end marker behind a part of the pixels does not make them whole."""
    data = (KINDS | ODD)[kind]()
    found = outcome(cut_short(data, share) + END, whole=data, least_side=least_side)
    assert found in {problems.TRUNCATED_IMAGE, "the same picture"}
    if len(data) > 2000 and least_side is None:
        assert found == problems.TRUNCATED_IMAGE


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("progressive")])
def test_a_progressive_jpeg_cut_in_its_first_scan_is_named(kind):
    """Later scans add detail; this one has the mean values of all blocks."""
    data = KINDS[kind]()
    first = data.index(b"\xff\xda")
    end = data.index(b"\xff\xc4", first)
    for share in (0.3, 0.6, 0.9):
        cut = first + 14 + int(share * (end - first - 14))
        assert outcome(data[:cut].rstrip(b"\xff") + END, whole=data) == problems.TRUNCATED_IMAGE


@pytest.mark.parametrize("kind", KINDS)
def test_a_complete_jpeg_is_decoded_once(kind, monkeypatch):
    """Progressive ones, too: a second time would cost as much as the first."""
    opened = []
    monkeypatch.setattr(decode_module, "_opened", lambda *a: opened.append(1) or original(*a))
    image = decode(KINDS[kind]())
    assert image.getpixel((image.width - 1, image.height - 1))
    assert len(opened) == 1


@pytest.mark.parametrize("kind", [kind for kind in (*KINDS, *ODD) if not kind.startswith("progressive")])
def test_only_cuts_in_the_last_block_before_an_end_marker_are_overlooked(kind):
    """Its pixels lie in 16 x 16, and what smooths colours between blocks reaches one further."""
    data = (KINDS | ODD)[kind]()
    whole = np.asarray(decode(data)).astype(int)
    start = data.rindex(b"\xff\xda") + 20
    for cut in range(start, len(data) - 2, max(1, (len(data) - start) // 150)):
        shortened = data[:cut].rstrip(b"\xff") + END
        if outcome(shortened, whole=data) == "another picture":
            rows, columns = np.nonzero(np.abs(np.asarray(decode(shortened)).astype(int) - whole).max(axis=2))
            assert whole.shape[0] - rows.min() <= 17, cut
            assert whole.shape[1] - columns.min() <= 17, cut


@pytest.mark.parametrize("kind", [*KINDS, *ODD])
def test_a_jpeg_with_all_its_pixels_is_never_named(kind):
    data = (KINDS | ODD)[kind]()
    for rest in (b"", b"\xff\xff" + END, b"and more", END):
        assert outcome(data + rest, whole=data) == "the same picture"


def test_scans_that_the_standard_does_not_require_may_be_missing_before_an_end_marker():
    """T.81, G.1.1.1.1: a progressive image without its last scans is one of less detail, as its maker wanted."""
    data = encoded(noise(), progressive=True, quality=95)
    starts = [position for position in range(len(data)) if data.startswith(b"\xff\xda", position)]
    tables = data.rfind(b"\xff\xc4", 0, starts[-1])
    assert decode(data[:tables] + END).size == noise().size


def test_a_component_without_a_scan_is_named():
    """A decoder would show the photo without its colours."""
    data = separate_scans(noise(64, 48))
    assert outcome(data, whole=data) == "the same picture"
    last = data.rindex(b"\xff\xda")
    assert outcome(data[:last] + END, whole=data) == problems.TRUNCATED_IMAGE


def cut_short(data: bytes, share: float) -> bytes:
    """A JPEG with a share of its last scan's data, and without its end marker."""
    start = data.rindex(b"\xff\xda")
    header = 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return data[: start + header + int((len(data) - 2 - start - header) * share)]


def test_a_progressive_jpeg_whose_last_scans_are_missing():
    """Each scan of it is whole; what is missing are the scans that would have made it sharp."""
    data = encoded(noise(), progressive=True, quality=95)
    starts = [position for position in range(len(data)) if data.startswith(b"\xff\xda", position)]
    assert len(starts) > 5
    for start in starts[1:]:
        tables = data.rfind(b"\xff\xc4", 0, start)  # A scan's tables stand before it.
        assert outcome(data[:start], whole=data) == problems.TRUNCATED_IMAGE
        assert outcome(data[:tables], whole=data) == problems.TRUNCATED_IMAGE


def test_every_cut_gives_the_whole_picture_or_a_problem(jpeg):
    found = {length: outcome(jpeg[:length], whole=jpeg) for length in range(max(4, len(jpeg) - 150), len(jpeg))}
    assert set(found.values()) == {"the same picture", problems.TRUNCATED_IMAGE}
    assert found[len(jpeg) - 2] == "the same picture"


def outcome(data: bytes, *, whole: bytes, least_side: int | None = None) -> str:
    try:
        found = picture(data, least_side=least_side)
    except InputProblem as problem:
        return problem.code
    expected = picture(whole, least_side=least_side).image
    return "the same picture" if np.array_equal(np.asarray(found.image), np.asarray(expected)) else "another picture"


def test_a_grey_picture_is_no_damage():
    """What a decoder puts in place of missing pixels is this very grey."""
    grey = Image.new("RGB", (64, 48), (128, 128, 128))
    for options in ({}, {"progressive": True}, {"optimize": True}):
        assert decode(encoded(grey, **options)).getpixel((63, 47)) == (128, 128, 128)


def scan_of(content: bytes) -> bytes:
    data = encoded(noise())
    start = data.rindex(b"\xff\xda")
    return data[: start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")] + content


@pytest.mark.parametrize(
    "data",
    [
        lambda: scan_of(b"\xff" * 1_000_000 + b"\x00x"),
        lambda: scan_of(b"\xff" * 1_000_000 + b"\xd0x"),
        lambda: scan_of(b"\xff\x00" * 500_000 + b"x"),
        lambda: scan_of(b"x" + b"\xff" * 1_000_000 + b"\xd9x"),
        lambda: encoded(noise())[:2] + b"\xff" * 1_000_000,
        lambda: encoded(noise())[:-2] + b"\xff" * 1_000_000 + b"\xfe",
    ],
    ids=["then a zero", "then a restart", "stuffed", "then the end", "instead of tables", "then a comment"],
)
def test_fill_bytes_take_no_longer_than_others(data):
    """20,000 of them before a zero took eight seconds."""
    content = data()
    started = time.process_time()
    found = jpeg_parser.structure(content)
    assert time.process_time() - started < 0.5
    assert found.pixels_end is None or content[found.pixels_end - 1] != 0xFF


def test_fill_bytes_before_a_marker_are_no_pixels():
    """T.81, B.1.1.2: any marker may follow any number of them."""
    data = encoded(noise())
    filled = data[:-2] + b"\xff" * 3 + b"\xd9 and more"
    found = jpeg_parser.structure(filled)
    assert (found.pixels_end, found.has_end) == (len(data) - 2, True)
