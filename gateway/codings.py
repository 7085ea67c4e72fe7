"""`Content-Encoding` of request bodies (RFC 9110, section 8.4): streaming gzip and deflate decoders.

A compressed megabyte can expand to a gigabyte. The decoder yields small pieces, which the caller counts.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from starlette.datastructures import Headers

TAKEN: Final = "gzip, deflate"
"""For `Accept-Encoding` of a refusal (RFC 9110, section 15.5.16)."""

_PIECE_BYTES: Final = 256 * 1024
_NAMES: Final = {"gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"}  # RFC 9110, 8.4.1.3
_GZIP, _ZLIB, _RAW = 31, 15, -15
"""zlib's `wbits`."""
_DEFLATE: Final = 8
"""Compression method of a zlib header (RFC 1950, 2.2)."""


class UnknownCodingError(ValueError):
    """The body has an unsupported coding."""


class BrokenCodingError(ValueError):
    """The body does not have the stated coding; the message states the reason, and quotes nothing."""


def coding_of(headers: Headers) -> str:
    """`gzip`, `deflate`, or an empty string. Raises `UnknownCodingError`, also for more than one coding."""
    listed = ",".join(headers.getlist("content-encoding")).split(",")
    codings = [coding for coding in (text.strip().lower() for text in listed) if coding not in {"", "identity"}]
    if not codings:
        return ""
    if len(codings) > 1 or codings[0] not in _NAMES:
        raise UnknownCodingError(f"The body's Content-Encoding is not taken: send {TAKEN}, or none.")
    return _NAMES[codings[0]]


def room(limit: int) -> int:
    """Maximum encoded size of `limit` incompressible bytes."""
    return limit + limit // 128 + 1024


async def opened(chunks: AsyncIterator[bytes], coding: str) -> AsyncGenerator[bytes, None]:
    """Decode `chunks` in pieces of at most 256 KiB. Raises `BrokenCodingError`."""
    stream = _Stream(coding)
    async for chunk in chunks:
        for piece in stream.feed(chunk):
            yield piece
            await asyncio.sleep(0)  # One chunk may become a thousand pieces; others have their turn between them.
    stream.end()


class _Stream:
    """One gzip member or deflate stream. Several in a row are refused: no HTTP client sends them."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._start = b""
        self._unpacker = zlib.decompressobj(_GZIP) if coding == "gzip" else None

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._unpacker is None:
            self._start += data
            if len(self._start) < 2:
                return
            data, self._unpacker = self._start, zlib.decompressobj(_ZLIB if _is_zlib(self._start) else _RAW)
        while data:
            if self._unpacker.eof:
                raise self._broken("something follows its end")
            try:
                piece = self._unpacker.decompress(data, _PIECE_BYTES)
            except zlib.error as error:
                raise self._broken("it is damaged, or not encoded") from error
            data = self._unpacker.unconsumed_tail or self._unpacker.unused_data
            if piece:
                yield piece

    def end(self) -> None:
        if self._unpacker is None or not self._unpacker.eof:
            raise self._broken("it ends too early")

    def _broken(self, why: str) -> BrokenCodingError:
        return BrokenCodingError(f"The body is not the {self._coding} that its Content-Encoding says: {why}.")


def _is_zlib(start: bytes) -> bool:
    """Whether a `deflate` body has the header that RFC 9110 requires; some programs omit it."""
    return start[0] & 0x0F == _DEFLATE and int.from_bytes(start[:2], "big") % 31 == 0
