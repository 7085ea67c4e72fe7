"""Pieces of long messages, and errors, between gateway and enclave."""

from __future__ import annotations

import asyncio

import pytest

from blindsight.errors import CapeError, TransportError
from blindsight.wire import cape, frames
from blindsight.wire.cape import PIECE_BYTES
from blindsight.wire.protocol import MAX_FRAME_BYTES, FrameKind


def stream(*sent: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=MAX_FRAME_BYTES)
    for frame in sent:
        reader.feed_data(frame)
    reader.feed_eof()
    return reader


async def whole(*sent: bytes, kind: FrameKind = FrameKind.CAPE_INPUT, limit: int = 1 << 30) -> bytes:
    reader = stream(*sent)
    frame = await frames.read(reader)
    assert frame is not None
    assert frame[0] is kind
    return await cape.read_rest(reader, frame[1], kind=kind, limit=limit)


@pytest.mark.parametrize(
    ("length", "count"),
    [
        (0, 1),
        (1, 1),
        (PIECE_BYTES - 1, 1),
        (PIECE_BYTES, 1),
        (PIECE_BYTES + 1, 2),
        (2 * PIECE_BYTES, 2),
        (2 * PIECE_BYTES + 1, 3),
    ],
)
async def test_a_message_of_any_length_arrives(length: int, count: int):
    content = (b"0123456789abcdef" * (length // 16 + 1))[:length]
    sent = list(cape.pieces(FrameKind.CAPE_INPUT, content))
    assert len(sent) == count
    assert all(len(frame) <= PIECE_BYTES + 6 for frame in sent)
    assert await whole(*sent) == content


async def test_parts_of_a_message_end_where_the_last_ends():
    first = cape.pieces(FrameKind.CAPE_INPUT, b"a" * (PIECE_BYTES + 5), last=False)
    empty = cape.pieces(FrameKind.CAPE_INPUT, b"", last=False)
    last = cape.pieces(FrameKind.CAPE_INPUT, b"b")
    assert await whole(*first, *empty, *last) == b"a" * (PIECE_BYTES + 5) + b"b"


def test_a_piece_says_whether_it_is_the_last():
    assert cape.split(cape.piece(FrameKind.CAPE_INPUT, b"x", last=True)[5:]) == (b"x", True)
    assert cape.split(cape.piece(FrameKind.CAPE_INPUT, b"", last=False)[5:]) == (b"", False)


@pytest.mark.parametrize("payload", [b"", b"\x02", b"x", b"\xff\x00"])
def test_what_is_no_piece_is_refused(payload: bytes):
    with pytest.raises(TransportError, check=lambda error: error.code == "bad_frame"):
        cape.split(payload)


async def test_a_message_cut_short_or_mixed_up_is_refused():
    start = cape.piece(FrameKind.CAPE_INPUT, b"a", last=False)
    for rest in ([], [cape.piece(FrameKind.CAPE_FUNCTION, b"b", last=True)], [frames.encode(FrameKind.CAPE_NONCE)]):
        with pytest.raises(TransportError, check=lambda error: error.code == "connection_lost"):
            await whole(start, *rest)
    with pytest.raises(TransportError, check=lambda error: error.code == "bad_frame"):
        await whole(start, frames.encode(FrameKind.CAPE_INPUT, b"\x07"))


async def test_a_message_has_a_limit():
    sent = [
        cape.piece(FrameKind.CAPE_TEXT, b"a" * 10, last=False),
        cape.piece(FrameKind.CAPE_TEXT, b"b" * 10, last=True),
    ]
    assert len(await whole(*sent, kind=FrameKind.CAPE_TEXT, limit=10)) == 20
    with pytest.raises(TransportError, check=lambda error: error.code == "bad_frame"):
        await whole(*sent, kind=FrameKind.CAPE_TEXT, limit=9)


@pytest.mark.parametrize("code", CapeError.NEXT_STEPS)
async def test_every_error_arrives_as_itself(code: str):
    frame = await frames.read(stream(cape.error_frame(CapeError(code, "why: ä"))))
    assert frame is not None
    assert frame[0] is FrameKind.CAPE_ERROR
    error = cape.error_of(frame[1])
    assert (error.code, str(error)) == (code, "why: ä")
    assert error.next_step


@pytest.mark.parametrize(
    "fields", [{}, {"code": "refused"}, {"code": "no such code", "error": "x"}, {"code": 5, "error": "x"}]
)
def test_an_unknown_error_is_no_cape_error(fields: dict[str, object]):
    with pytest.raises(TransportError, check=lambda error: error.code == "unexpected_answer"):
        cape.error_of(frames.pack(fields))
    with pytest.raises(TransportError, check=lambda error: error.code == "bad_frame"):
        cape.error_of(b"no CBOR")


@pytest.mark.parametrize("contents", [[], [b""], [b"a"], [b"a", b"", b"bc"]])
async def test_a_message_that_comes_in_pieces_is_one_message(contents: list[bytes]) -> None:
    assert await whole(*cape.streamed(FrameKind.CAPE_INPUT, iter(contents))) == b"".join(contents)
    assert len(list(cape.streamed(FrameKind.CAPE_INPUT, iter(contents)))) == max(1, len(contents))
