"""A parser for a JSON object with one long text that does not build Python objects for the whole input.

`json` creates an object for every value: 25 MiB of `[],[],…` become 700 MiB. This parser extracts the long text as
bytes, and passes the short rest to `json`.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from typing import Any, Final

from blindsight import strict_json

MOST_BESIDE: Final = 64 * 1024
"""Maximum size of the object without the long text, bytes."""
_LONG: Final = 16 * 1024
"""Minimum length of a long text, bytes."""
_WINDOW: Final = 64 * 1024
"""Bytes of a text that are unescaped at a time."""
_NOT_ASCII: Final = re.compile(rb"[\x80-\xff]")
_QUOTE, _BACKSLASH = b'"', ord("\\")


class BadJson(ValueError):
    """The input is not such an object; the message states the reason, and quotes nothing."""


@dataclass(frozen=True)
class LongText:
    """A JSON text between its quotes, with its escapes."""

    escaped: bytes = field(repr=False)

    def unescaped(self) -> bytes:
        """The unescaped text, which must be ASCII. Raises `BadJson`."""
        text = self.escaped
        foreign = _NOT_ASCII.search(text)
        if foreign is not None:
            raise BadJson(f"A long text has a character that is not ASCII at position {foreign.start() + 1}.")
        if b"\\\\" in text:
            raise BadJson("A long text has a backslash in it.")
        if b"\\" not in text:
            return text
        found, start = bytearray(), 0
        try:
            while start < len(text):
                end = _window_end(text, start)
                found += json.loads(f'"{text[start:end].decode("ascii")}"', strict=False).encode("ascii")
                start = end
        except UnicodeEncodeError as error:
            raise BadJson("A long text has an escape of a character that is not ASCII.") from error
        except ValueError as error:
            raise BadJson("A long text has an escape that is none.") from error
        return bytes(found)


def _window_end(text: bytes, start: int) -> int:
    """The end of a window of `text` that begins at `start`, not within an escape. There are no escaped backslashes."""
    end = start + _WINDOW
    last = text.rfind(b"\\", end - 5, end)
    if last >= 0 and last + (6 if text[last + 1 : last + 2] == b"u" else 2) > end:
        return last
    return end


def read_object(body: bytes) -> dict[str, Any]:
    """Parse the JSON object (RFC 8259, UTF-8) in `body`; a text of 16 KiB or more is returned as a `LongText`.

    There can be one such text, as a member's value. Line breaks and tabs in texts need no escapes, because shells
    insert base64 with them. Raises `BadJson`.
    """
    marker = secrets.token_hex(16)
    rest, long_text = _without_long_text(body, marker)
    try:
        fields = strict_json.loads(rest)
    except ValueError as error:
        raise BadJson("The body is not JSON.") from error
    if not isinstance(fields, dict):
        raise BadJson("The body is not a JSON object.")
    if long_text is None:
        return fields
    found = [name for name, value in fields.items() if value == marker]
    if not found:
        raise BadJson("The long text is not the value of a member.")
    return fields | {found[0]: long_text}


def _without_long_text(body: bytes, marker: str) -> tuple[bytes, LongText | None]:
    """`body` with `marker` instead of the long text, and the long text."""
    rest, long_text, position = bytearray(), None, 0
    while (start := body.find(_QUOTE, position)) >= 0:
        end = _end_of_text(body, start + 1)
        is_long = end - start > _LONG
        if is_long and long_text is not None:
            raise BadJson("There is more than one long text.")
        _keep(rest, memoryview(body)[position : start + 1])
        if is_long:
            long_text = LongText(body[start + 1 : end])
            rest += marker.encode()
        else:
            _keep(rest, _with_lines_escaped(body[start + 1 : end]))
        rest += _QUOTE
        position = end + 1
    _keep(rest, memoryview(body)[position:])
    return bytes(rest), long_text


def _end_of_text(body: bytes, start: int) -> int:
    """The position of the closing quote of the text that begins at `start`."""
    position = start
    while True:
        end = body.find(_QUOTE, position)
        if end < 0:
            raise BadJson("A text does not end.")
        first = end
        while first > start and body[first - 1] == _BACKSLASH and end - first <= _LONG:
            first -= 1
        if (end - first) % 2 == 0:
            return end
        if end - start > _LONG:
            raise BadJson("A long text has a quote in it.")
        position = end + 1


def _with_lines_escaped(text: bytes) -> bytes:
    return text.replace(b"\r", rb"\r").replace(b"\n", rb"\n").replace(b"\t", rb"\t")


def _keep(rest: bytearray, piece: bytes | memoryview) -> None:
    if len(rest) + len(piece) > MOST_BESIDE:
        raise BadJson(f"The body has more than {MOST_BESIDE} bytes beside the image.")
    rest += piece
