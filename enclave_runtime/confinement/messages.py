"""Messages between the runtime and a worker: a JSON header and a binary body, each with its length before it.

Standard library only: the worker imports this before it imports the function.
"""

from __future__ import annotations

import json
import struct
from typing import IO, Any, Final

PREFIX: Final = struct.Struct(">II")
"""Lengths of header and body."""

MAX_HEADER_BYTES: Final = 1 << 20
MAX_BODY_BYTES: Final = 32 * 1024 * 1024


def encode(header: dict[str, Any], body: bytes = b"") -> bytes:
    """Encode one message. Raises `ValueError`, `TypeError` for a header that is too long or not JSON."""
    return head(header, len(body)) + body


def head(header: dict[str, Any], body_bytes: int) -> bytes:
    """The bytes before a body of that length. Raises as `encode`."""
    encoded = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    if len(encoded) > MAX_HEADER_BYTES:
        raise ValueError("a message's header is too long")
    return PREFIX.pack(len(encoded), body_bytes) + encoded


def read(stream: IO[bytes], *, max_body_bytes: int = MAX_BODY_BYTES) -> tuple[dict[str, Any], bytes] | None:
    """Read one message from a blocking stream; None at its end. Raises `ValueError` for an impossible length."""
    prefix = stream.read(PREFIX.size)
    if len(prefix) < PREFIX.size:
        return None
    header_bytes, body_bytes = lengths(prefix, max_body_bytes=max_body_bytes)
    header, body = stream.read(header_bytes), stream.read(body_bytes)
    if len(header) < header_bytes or len(body) < body_bytes:
        return None
    return json.loads(header.decode()), body


def lengths(prefix: bytes, *, max_body_bytes: int = MAX_BODY_BYTES) -> tuple[int, int]:
    """The lengths in `prefix`. Raises `ValueError` if they are impossible."""
    header_bytes, body_bytes = PREFIX.unpack(prefix)
    if header_bytes > MAX_HEADER_BYTES or body_bytes > max_body_bytes:
        raise ValueError("a message announces an impossible length")
    return header_bytes, body_bytes
