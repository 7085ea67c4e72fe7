"""Binary HTTP messages (RFC 9292): writes known-length messages, reads known-length and indeterminate-length messages.

The decoder checks and drops informational responses and trailers. It accepts padding (zeros at the end) and the
truncated forms of section 3.8. It refuses messages that section 4 calls invalid, and pseudo-fields: section 6 allows
those of extensions, which are not supported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from blindsight.sealing.keyconfig import malformed

Fields = list[tuple[str, str]]

_KNOWN_REQUEST, _KNOWN_RESPONSE, _INDETERMINATE_REQUEST, _INDETERMINATE_RESPONSE = range(4)

MAX_FIELDS: Final = 64
"""Header or trailer fields of one message; Blindsight's messages have three."""

MAX_TEXT_BYTES: Final = 1024
"""Of a control value, a field's name or its value: limits the time of code that processes them."""

MAX_CHUNKS: Final = 8192
"""Chunks of one indeterminate-length content: one-byte chunks would cost the decoder far more than the sender."""

MAX_INFORMATIONAL: Final = 8
"""Informational responses before the final one."""

_MAX_SECTION_BYTES = MAX_FIELDS * 2 * (MAX_TEXT_BYTES + 8)
"""A known-length field section; each length takes at most 8 bytes."""

_ZEROS = bytes(64 * 1024)

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE = re.compile(r"[^\x00\r\n]*")


@dataclass(frozen=True)
class Request:
    """A request: `path` includes the query; field names are lower-case. `content` is a view of the decoded bytes."""

    method: str
    path: str
    fields: Fields = field(default_factory=list)
    content: bytes | memoryview = b""
    scheme: str = "https"
    authority: str = ""

    def encode(self) -> bytes:
        control = [_string(part) for part in (self.method, self.scheme, self.authority, self.path)]
        return b"".join((bytes([_KNOWN_REQUEST]), *control, *_known_sections(self.fields, self.content)))

    def header(self, name: str) -> str | None:
        return _find(self.fields, name)


@dataclass(frozen=True)
class Response:
    """A final response: `status` 200..599."""

    status: int
    fields: Fields = field(default_factory=list)
    content: bytes = b""

    def encode(self) -> bytes:
        sections = _known_sections(self.fields, self.content)
        return b"".join((bytes([_KNOWN_RESPONSE]), varint(self.status), *sections))

    def header(self, name: str) -> str | None:
        return _find(self.fields, name)


def decode_request(data: bytes | memoryview) -> Request:
    """Decode a request; for a view, the content is a view. Raises `SealingError` (`malformed_message`)."""
    reader = _Reader(data)
    framing = reader.varint()
    if framing not in {_KNOWN_REQUEST, _INDETERMINATE_REQUEST}:
        raise malformed("This is not a binary HTTP request.")
    method, scheme, authority, path = (reader.text() for _ in range(4))
    fields, content = reader.sections(known=framing == _KNOWN_REQUEST)
    return Request(method, path, fields, content, scheme, authority)


def decode_response(data: bytes) -> Response:
    """Decode a response. Raises `SealingError` (`malformed_message`)."""
    reader = _Reader(data)
    framing = reader.varint()
    if framing not in {_KNOWN_RESPONSE, _INDETERMINATE_RESPONSE}:
        raise malformed("This is not a binary HTTP response.")
    known = framing == _KNOWN_RESPONSE
    status = reader.varint()
    informational = 0
    while 100 <= status <= 199:
        informational += 1
        if informational > MAX_INFORMATIONAL:
            raise malformed("There are too many informational responses.")
        reader.fields(known=known)
        status = reader.varint()
    if not 200 <= status <= 599:
        raise malformed("A binary HTTP response has no valid status.")
    fields, content = reader.sections(known=known)
    return Response(status, fields, bytes(content))


def varint(value: int) -> bytes:
    """Encode a variable-length integer (RFC 9000, section 16)."""
    for bits, prefix in ((6, 0), (14, 1), (30, 2), (62, 3)):
        if value < 1 << bits:
            length = (bits + 2) // 8
            return (value | prefix << (length * 8 - 2)).to_bytes(length, "big")
    raise malformed("A number is too large for a variable-length integer.")


class _Reader:
    def __init__(self, data: bytes | memoryview) -> None:
        self._data = data
        self._at = 0

    def sections(self, *, known: bool) -> tuple[Fields, bytes | memoryview]:
        """Header fields and content; trailer fields are checked and dropped, padding must be zeros."""
        fields = self.fields(known=known)
        content = b"" if self.at_end else self._counted() if known else self._chunks()
        self.fields(known=known)
        self._padding()
        return fields, content

    def fields(self, *, known: bool) -> Fields:
        """A field section; empty at the message's end, where it can be absent (section 3.8)."""
        found: Fields = []
        if self.at_end:
            return found
        reader = _Reader(self._counted(_MAX_SECTION_BYTES)) if known else self
        # A known-length section ends with its bytes, an indeterminate-length one with an empty name.
        while not (known and reader.at_end):
            name = reader.text()
            if not name and not known:
                break
            value = reader.text()
            if len(found) == MAX_FIELDS or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
                raise malformed("There are too many fields, or a field's name or value is invalid.")
            found.append((name, value))
        return found

    def text(self) -> str:
        try:
            return str(self._counted(MAX_TEXT_BYTES), "ascii")
        except UnicodeDecodeError as error:
            raise malformed("A field or control value is not ASCII.") from error

    def varint(self) -> int:
        first = self._take(1)[0]
        if first < 1 << 6:
            return first
        return int.from_bytes(bytes([first & 0x3F]) + self._take((1 << (first >> 6)) - 1), "big")

    @property
    def at_end(self) -> bool:
        return self._at == len(self._data)

    def _chunks(self) -> bytes:
        chunks: list[bytes | memoryview] = []
        while chunk := self._counted():
            chunks.append(chunk)
            if len(chunks) > MAX_CHUNKS:
                raise malformed("The content has too many chunks.")
        return b"".join(chunks)

    def _padding(self) -> None:
        # By comparison with zeros, which is many times quicker than to search for something else.
        while (block := bytes(self._data[self._at : self._at + len(_ZEROS)])) == _ZEROS:
            self._at += len(_ZEROS)
        if block.strip(b"\x00"):
            raise malformed("Something other than padding follows the message.")

    def _counted(self, limit: int | None = None) -> bytes | memoryview:
        length = self.varint()
        if limit is not None and length > limit:
            raise malformed("A control value, a field or the fields together are too long.")
        return self._take(length)

    def _take(self, count: int) -> bytes | memoryview:
        taken = self._data[self._at : self._at + count]
        if len(taken) != count:
            raise malformed("The message is cut short.")
        self._at += count
        return taken


def _known_sections(fields: Fields, content: bytes | memoryview) -> tuple[bytes | memoryview, ...]:
    """Field section, content and empty trailer as parts, so that the content is copied only once."""
    lines = b"".join([_string(name) + _string(value) for name, value in fields])
    return varint(len(lines)), lines, varint(len(content)), content, varint(0)


def _string(text: str) -> bytes:
    return varint(len(text)) + text.encode("ascii")


def _find(fields: Fields, name: str) -> str | None:
    return next((value for key, value in fields if key == name), None)
