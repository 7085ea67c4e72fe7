"""Frames on streams that are cut, hostile or well."""

from __future__ import annotations

import asyncio
import struct

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.errors import TransportError
from blindsight.wire import frames
from blindsight.wire.protocol import MAX_FRAME_BYTES, FrameKind

brief = settings(deadline=None, max_examples=40)  # The processor is shared; time is not what is tested.

values = st.one_of(st.binary(max_size=64), st.text(max_size=32), st.booleans(), st.none(), st.integers(0, 2**64 - 1))


def stream(data: bytes, *, ended: bool = True) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    if ended:
        reader.feed_eof()
    return reader


async def refusal(data: bytes, *, ended: bool = True) -> str:
    with pytest.raises(TransportError) as refused:
        async with asyncio.timeout(5):
            await frames.read(stream(data, ended=ended))
    return refused.value.code


async def test_frames_come_back_in_order_and_then_the_end():
    sent = [(FrameKind.SEALED_REQUEST, b"x" * 100_000), (FrameKind.STATUS_REQUEST, b""), (FrameKind.REFUSAL, b"\0")]
    reader = stream(b"".join(frames.encode(*frame) for frame in sent))
    assert [await frames.read(reader) for _ in sent] == sent
    assert await frames.read(reader) is None


async def test_a_frame_that_comes_byte_by_byte_is_read():
    reader = asyncio.StreamReader()
    reading = asyncio.ensure_future(frames.read(reader))
    for byte in frames.encode(FrameKind.STATUS, b"abc"):
        reader.feed_data(bytes([byte]))
        await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert await reading == (FrameKind.STATUS, b"abc")


async def test_a_lower_limit_is_kept():
    frame = frames.encode(FrameKind.GATEWAY_HELLO, bytes(32))
    assert await frames.read(stream(frame), limit=33) == (FrameKind.GATEWAY_HELLO, bytes(32))
    with pytest.raises(TransportError) as refused:
        await frames.read(stream(frame, ended=False), limit=32)
    assert refused.value.code == "bad_frame"


def test_the_layout_is_the_documented_one():
    assert frames.encode(FrameKind.EVIDENCE_REQUEST, b"ab") == b"\x00\x00\x00\x03" + b"\x01" + b"ab"


async def test_a_frame_cut_anywhere_is_a_lost_connection():
    frame = frames.encode(FrameKind.SEALED_REQUEST, b"payload")
    for length in range(1, len(frame)):
        assert await refusal(frame[:length]) == "connection_lost"


@pytest.mark.parametrize("length", [0, MAX_FRAME_BYTES + 1, 2**32 - 1])
async def test_an_impossible_length_is_refused_before_anything_follows(length):
    """The stream stays open and empty: only a reader that waits for the payload would hang."""
    assert await refusal(struct.pack(">IB", length, FrameKind.SEALED_REQUEST), ended=False) == "bad_frame"


async def test_the_largest_frame_is_read():
    payload = bytes(MAX_FRAME_BYTES - 1)
    read = await frames.read(stream(frames.encode(FrameKind.SEALED_REQUEST, payload)))
    assert read is not None
    assert read[1] == payload


@pytest.mark.parametrize("kind", sorted(set(FrameKind) - {FrameKind.SEALED_REQUEST, FrameKind.SEALED_RESPONSE}))
async def test_only_what_holds_an_image_may_be_long(kind):
    assert await refusal(struct.pack(">IB", 4 * 1024 * 1024 + 1, kind), ended=False) == "bad_frame"


@pytest.mark.parametrize("length", [0, 5, 3_000_000])
async def test_long_frames_are_read_alike(length):
    frame = frames.encode(FrameKind.SEALED_REQUEST, b"x" * length)

    async def read(data):
        """As the enclave's server does."""
        reader = stream(data)
        head = await frames.read_head(reader)
        return head and (head[0], await frames.read_payload(reader, head[1]))

    assert await read(frame) == (FrameKind.SEALED_REQUEST, b"x" * length)
    assert await read(b"") is None
    for cut in {1, 4, len(frame) - 1}:
        with pytest.raises(TransportError) as refused:
            await read(frame[:cut])
        assert refused.value.code == "connection_lost"


async def test_an_unknown_kind_is_refused():
    for kind in set(range(256)) - set(FrameKind):
        assert await refusal(struct.pack(">IB", 1, kind)) == "bad_frame"


async def test_a_broken_connection_is_a_lost_connection():
    reader = asyncio.StreamReader()
    reader.set_exception(ConnectionResetError())
    with pytest.raises(TransportError) as refused:
        await frames.read(reader)
    assert refused.value.code == "connection_lost"


@brief
@given(st.dictionaries(st.text(max_size=12), values, max_size=6))
def test_payloads_come_back(fields):
    assert frames.unpack(frames.pack(fields)) == fields


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xa1",
        b"\xa0\x00",
        frames.pack({"nonce": b"x"}) + b"\xa0",
        b"\xa2" + cbor2.dumps("nonce") + cbor2.dumps(b"a") + cbor2.dumps("nonce") + cbor2.dumps(b"b"),
        b"\xbf" + cbor2.dumps("nonce") + cbor2.dumps(b"a") + b"\xff",
        b"\xa1\x78\x05nonce\x41a",
        b"\xa1" + cbor2.dumps("nonce") + b"\xd8\x23\x61(",
        b"\xd8\x1c\xa1" + cbor2.dumps("nonce") + b"\xd8\x1d\x00",
        b"\xa1\x01\x02",
        b"\xa1\x41a\x02",
        cbor2.dumps([]),
        cbor2.dumps(None),
        cbor2.dumps("text"),
        b"\x81" * 500 + b"\x80",
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
        frames.pack({"numbers": [1] * 100}),
        frames.pack({f"{number}": number for number in range(40)}),
        frames.pack({"long": bytes(4 * 1024 * 1024)}),
    ],
    ids=lambda payload: payload[:12].hex() or "empty",
)
def test_payloads_with_more_than_one_reading_are_refused(payload):
    with pytest.raises(TransportError) as refused:
        frames.unpack(payload)
    assert refused.value.code == "bad_frame"


@brief
@given(st.binary(max_size=100))
def test_garbage_is_an_object_or_refused(payload):
    try:
        repacked, refused = frames.pack(frames.unpack(payload)), None
    except TransportError as error:
        repacked, refused = payload, error.code
    assert refused in {None, "bad_frame"}
    assert repacked == payload
