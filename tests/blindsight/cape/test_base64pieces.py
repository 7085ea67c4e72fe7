"""Base64 in pieces is base64."""

from __future__ import annotations

import base64
import binascii

import pytest

from blindsight.cape import base64pieces
from blindsight.cape.base64pieces import PIECE_BYTES, PIECE_CHARACTERS


@pytest.mark.parametrize("length", [0, 1, 2, 3, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 2])
def test_it_is_what_the_library_makes_of_the_whole(length: int) -> None:
    content = bytes(range(256)) * (length // 256 + 1)
    content = content[:length]
    text = b"".join(base64pieces.encoded(content))
    assert text == base64.b64encode(content)
    for form in (text, memoryview(text)):
        assert b"".join(base64pieces.decoded(form)) == content


@pytest.mark.parametrize("lengths", [[], [0], [1, 1, 1], [3, 0, 5], [1000, 2, 2, 7], [524, PIECE_BYTES, 16]])
def test_contents_that_come_in_pieces_have_the_text_of_the_whole(lengths: list[int]) -> None:
    contents = [bytes([number]) * length for number, length in enumerate(lengths)]
    assert b"".join(base64pieces.encoded_of(contents)) == base64.b64encode(b"".join(contents))


def test_no_piece_is_large() -> None:
    assert {len(piece) for piece in base64pieces.encoded(bytes(4 * PIECE_BYTES))} == {PIECE_CHARACTERS}
    assert {len(piece) for piece in base64pieces.decoded(b"A" * (4 * PIECE_CHARACTERS))} == {PIECE_BYTES}


FULL = b"A" * PIECE_CHARACTERS


@pytest.mark.parametrize(
    "text",
    [
        b"A", b"AA", b"AAA", b"A===", b"AA=A", b"====", b"AAAA\n", b"AA AA==", b"-_==", "AAÄA".encode(),
        FULL + b"A", FULL + b"*AAA", FULL[:-4] + b"AAA=" + b"AAAA", FULL[:-4] + b"AA==" + b"AAAA", FULL + b"\nAAA",
    ],
    ids=lambda text: f"{len(text)}-{text[-8:]!r}",
)  # fmt: skip
def test_what_the_library_refuses_is_refused(text: bytes) -> None:
    with pytest.raises(binascii.Error):
        base64.b64decode(text, validate=True)
    with pytest.raises(binascii.Error):
        list(base64pieces.decoded(text))


@pytest.mark.parametrize(
    "text", [FULL + b"==", FULL + b"====", FULL[:-4] + b"==", FULL[:-8] + b"AAAA====", b"AAAA==", b"AAAA===="]
)
def test_padding_where_none_is_due_is_refused_wherever_pieces_end(text: bytes) -> None:
    with pytest.raises(binascii.Error):
        list(base64pieces.decoded(text))
