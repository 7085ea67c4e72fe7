"""The messages between the runtime and a worker."""

from __future__ import annotations

import io
import math

import pytest

from enclave_runtime.confinement import messages


def test_messages_come_back_in_order_and_then_the_end():
    sent = [({"top_k": 5}, b"\0image\xff"), ({}, b""), ({"text": "é"}, b"x" * 70_000)]
    stream = io.BytesIO(b"".join(messages.encode(*message) for message in sent))
    assert [messages.read(stream) for _ in sent] == sent
    assert messages.read(stream) is None


def test_a_message_cut_anywhere_is_the_end():
    encoded = messages.encode({"a": 1}, b"body")
    for length in range(len(encoded)):
        assert messages.read(io.BytesIO(encoded[:length])) is None


@pytest.mark.parametrize(
    "lengths", [(messages.MAX_HEADER_BYTES + 1, 0), (0, messages.MAX_BODY_BYTES + 1), (2**32 - 1, 2**32 - 1)]
)
def test_an_impossible_length_is_refused(lengths):
    with pytest.raises(ValueError, match="impossible length"):
        messages.read(io.BytesIO(messages.PREFIX.pack(*lengths)))


def test_whoever_reads_sets_how_long_a_body_may_be():
    message = messages.encode({}, bytes(9))
    assert messages.read(io.BytesIO(message), max_body_bytes=9) == ({}, bytes(9))
    with pytest.raises(ValueError, match="impossible length"):
        messages.read(io.BytesIO(message), max_body_bytes=8)
    huge = messages.PREFIX.pack(2, messages.MAX_BODY_BYTES + 1)
    assert messages.lengths(huge, max_body_bytes=messages.MAX_BODY_BYTES * 2) == (2, messages.MAX_BODY_BYTES + 1)


def test_the_longest_header_is_the_longest_that_is_read():
    room = messages.MAX_HEADER_BYTES - len('{"x":""}')
    assert messages.read(io.BytesIO(messages.encode({"x": "y" * room}))) == ({"x": "y" * room}, b"")
    with pytest.raises(ValueError, match="too long"):
        messages.encode({"x": "y" * (room + 1)})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_has_not_are_refused(value):
    with pytest.raises(ValueError, match="Out of range"):
        messages.encode({"score": value})
