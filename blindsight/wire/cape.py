"""Cape's part of the protocol between gateway and enclave: pieces of long messages, errors, and the questions' fields.

CAPE_CALL, by `op`, and its answer's fields:

| op | fields | answer |
|---|---|---|
| `create_account` | `username`, `owner_public_key` (32 B), `proof` (a token) | `record` |
| `user_key` | `record` | `document` |
| `add_function` | `record`, `token` (scope `deploy`) | `id`, `record` |
| `delete_function` | `record`, `token`, `function_id` | `record` |
| `revoke_token` | `record`, `token`, `token_id`, `expires` (seconds or null) | `record` |
| `commit` | `record` | |
| `grant` | `record`, `token` (scope `deploy`, of the classifier's bundle) | |

CAPE_OPEN, by `route`: every one has `token` and `record`, the caller's; `run` also `owner_record` and `function_id`.
CAPE_DEPLOYED, of a bundle that is what its token allows and can be run: `name`, `public`, `checksum`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from blindsight.errors import CapeError, TransportError
from blindsight.wire import frames
from blindsight.wire.protocol import FrameKind

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Iterator

PIECE_BYTES: Final = 1 << 20
_MORE, _LAST = b"\x00", b"\x01"


def pieces(kind: FrameKind, content: bytes, *, last: bool = True) -> Iterator[bytes]:
    """The frames that carry `content`, at least one; `last`: the last one ends the message."""
    end = max(0, (len(content) - 1) // PIECE_BYTES * PIECE_BYTES)
    for start in range(0, end, PIECE_BYTES):
        yield piece(kind, content[start : start + PIECE_BYTES], last=False)
    yield piece(kind, content[end:], last=last)


def streamed(kind: FrameKind, contents: Iterator[bytes]) -> Iterator[bytes]:
    """The frames that carry `contents`, small pieces of one message, as they arrive."""
    held = next(contents, b"")
    for content in contents:
        yield piece(kind, held, last=False)
        held = content
    yield piece(kind, held, last=True)


def piece(kind: FrameKind, content: bytes, *, last: bool) -> bytes:
    """One frame of a long message."""
    return frames.encode(kind, (_LAST if last else _MORE) + content)


def split(payload: bytes) -> tuple[bytes, bool]:
    """A piece's content, and whether it is the last. Raises `TransportError`."""
    if payload[:1] not in {_MORE, _LAST}:
        raise TransportError("bad_frame", "A piece of a message is malformed.")
    return payload[1:], payload[:1] == _LAST


async def read_rest(reader: asyncio.StreamReader, payload: bytes, *, kind: FrameKind, limit: int) -> bytes:
    """Read the whole message whose first piece is `payload`. Raises `TransportError`."""
    return b"".join([content async for content in _rest(reader, payload, kind, limit)])


async def _rest(reader: asyncio.StreamReader, payload: bytes, kind: FrameKind, limit: int) -> AsyncIterator[bytes]:
    content, last = split(payload)
    yield content
    while not last:
        frame = await frames.read(reader)
        if frame is None or frame[0] is not kind:
            raise TransportError("connection_lost", "A message ended before its last piece.")
        content, last = split(frame[1])
        limit -= len(content)
        if limit < 0:
            raise TransportError("bad_frame", "A message is too long.")
        yield content


def error_frame(error: CapeError) -> bytes:
    """The frame that reports `error`."""
    return frames.encode(FrameKind.CAPE_ERROR, frames.pack({"code": error.code, "error": str(error)}))


def error_of(payload: bytes) -> CapeError:
    """The error that a CAPE_ERROR frame reports. Raises `TransportError`."""
    fields: dict[str, Any] = frames.unpack(payload)
    code, text = fields.get("code"), fields.get("error")
    if not isinstance(code, str) or not isinstance(text, str) or code not in CapeError.NEXT_STEPS:
        raise TransportError("unexpected_answer", "The enclave reported an unknown error.")
    return CapeError(code, text)
