"""Frames on an asyncio byte stream."""

from __future__ import annotations

import asyncio
import struct
from typing import Any, cast

import cbor2

from blindsight import cbor
from blindsight.errors import TransportError
from blindsight.wire.protocol import MAX_FRAME_BYTES, Kind

_HEADER = struct.Struct(">IB")


def encode(kind: Kind, payload: bytes = b"") -> bytes:
    """One frame, ready to be written."""
    return _HEADER.pack(len(payload) + 1, kind) + payload


async def read(reader: asyncio.StreamReader) -> tuple[Kind, bytes] | None:
    """Read one frame; None if the peer closed between frames.

    Raises `TransportError` for a cut or malformed frame, or one above `MAX_FRAME_BYTES`, which is refused unread.
    """
    try:
        header = await reader.readexactly(_HEADER.size)
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise TransportError("connection_lost", "The connection ended inside a frame.") from error
    except OSError as error:
        raise TransportError("connection_lost", "The connection was lost.") from error
    length, kind = _HEADER.unpack(header)
    if not 1 <= length <= MAX_FRAME_BYTES:
        raise TransportError("bad_frame", "A frame announces an impossible length.")
    try:
        payload = await reader.readexactly(length - 1)
        return Kind(kind), payload
    except (asyncio.IncompleteReadError, OSError) as error:
        raise TransportError("connection_lost", "The connection ended inside a frame.") from error
    except ValueError as error:
        raise TransportError("bad_frame", "A frame is of an unknown kind.") from error


def pack(fields: dict[str, Any]) -> bytes:
    """Encode a payload object as CBOR, in the shortest form that `unpack` demands."""
    return cbor2.dumps(fields)


def unpack(payload: bytes) -> dict[str, Any]:
    """Decode a payload object, strictly: one reading only, nothing after it. Raises `TransportError`."""
    try:
        fields = cbor.decode(payload)
    except cbor.CBORDecodeError as error:
        raise TransportError("bad_frame", "A frame's payload is not plain CBOR.") from error
    if not isinstance(fields, dict) or not all(isinstance(name, str) for name in fields):
        raise TransportError("bad_frame", "A frame's payload is not an object.")
    return cast("dict[str, Any]", fields)
