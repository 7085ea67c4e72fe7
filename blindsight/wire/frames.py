"""Frames on an asyncio byte stream."""

from __future__ import annotations

import asyncio
import struct
from typing import Any, Final, cast

import cbor2

from blindsight import cbor
from blindsight.errors import TransportError
from blindsight.wire import bodies
from blindsight.wire.protocol import MAX_FRAME_BYTES, FrameKind

MAX_OBJECT_BYTES: Final = 4 * 1024 * 1024
"""Of a frame without an image. The largest, a session's opening, has two records of half a megabyte each."""

_LONG = {FrameKind.SEALED_REQUEST, FrameKind.SEALED_RESPONSE}

_MAX_ITEMS = 64
"""Names and values of a payload object, which is flat; there are at most ten of each."""

_HEADER = struct.Struct(">IB")


def encode(kind: FrameKind, payload: bytes = b"") -> bytes:
    """Encode one frame."""
    return head(kind, len(payload)) + payload


def head(kind: FrameKind, length: int) -> bytes:
    """The length and kind of a frame whose payload has `length` bytes."""
    return _HEADER.pack(length + 1, kind)


async def read(reader: asyncio.StreamReader, *, limit: int = MAX_FRAME_BYTES) -> tuple[FrameKind, bytes] | None:
    """Read one frame; None if the peer closed between frames.

    Raises `TransportError` for a truncated or malformed frame, and, before reading the payload, for one that is longer
    than its kind or `limit` allows.
    """
    found = await read_head(reader, limit=limit)
    if found is None:
        return None
    kind, length = found
    try:
        return kind, await reader.readexactly(length)
    except (asyncio.IncompleteReadError, OSError) as error:
        raise _cut() from error


async def read_payload(reader: asyncio.StreamReader, length: int) -> bytes | memoryview:
    """Read the payload of the frame whose head was read; a long one in steps that do not block the event loop.

    Raises `TransportError` for a truncated one.
    """
    try:
        return await bodies.read(reader, length)
    except (asyncio.IncompleteReadError, OSError) as error:
        raise _cut() from error


async def read_head(reader: asyncio.StreamReader, *, limit: int = MAX_FRAME_BYTES) -> tuple[FrameKind, int] | None:
    """A frame's kind and the length of its payload; None if the peer closed between frames. Raises as `read`."""
    try:
        header = await reader.readexactly(_HEADER.size)
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise _cut() from error
    except OSError as error:
        raise TransportError("connection_lost", "The connection was lost.") from error
    length, number = _HEADER.unpack(header)
    try:
        kind = FrameKind(number)
    except ValueError as error:
        raise TransportError("bad_frame", "A frame is of an unknown kind.") from error
    if not 1 <= length <= min(limit, MAX_FRAME_BYTES if kind in _LONG else MAX_OBJECT_BYTES):
        raise TransportError("bad_frame", "A frame announces an impossible length.")
    return kind, length - 1


def _cut() -> TransportError:
    return TransportError("connection_lost", "The connection ended inside a frame.")


def pack(fields: dict[str, Any]) -> bytes:
    """Encode a payload object as CBOR, in the shortest form, which `unpack` requires."""
    return cbor2.dumps(fields)


def unpack(payload: bytes) -> dict[str, Any]:
    """Decode a payload object strictly: small, one interpretation, no trailing bytes. Raises `TransportError`."""
    if len(payload) > MAX_OBJECT_BYTES:
        raise TransportError("bad_frame", "A frame's payload is too long for an object.")
    try:
        fields = cbor.decode(payload, max_items=_MAX_ITEMS)
    except cbor.CBORDecodeError as error:
        raise TransportError("bad_frame", "A frame's payload is not plain CBOR.") from error
    if not isinstance(fields, dict) or not all(isinstance(name, str) for name in fields):
        raise TransportError("bad_frame", "A frame's payload is not an object.")
    return cast("dict[str, Any]", fields)
