"""Lenient base64 in JSON (RFC 4648, sections 4 and 5): either alphabet, line breaks, optional padding, data URLs.

Only for the plain lane. `blindsight.strict_base64` decodes everything that is encrypted, signed or compared.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

_BLANKS: Final = b" \t\r\n"
_IGNORED: Final = b"\t\r\n"
"""Ignored anywhere. Not blanks: one inside is usually a `+` that a form has decoded, so the image would differ."""
_FOREIGN: Final = re.compile(rb"[^A-Za-z0-9+/_\-\t\r\n]")
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
_LONGEST_HEAD: Final = 256
"""Maximum length of a data URL before its comma, bytes."""


class UnreadableError(ValueError):
    """The text is not base64; the message states the position and the kind of character, and quotes nothing else."""


def split(text: bytes) -> tuple[str, int]:
    """The media type of a data URL (RFC 2397), lower-case or "", and the start of its base64; ("", 0) for other text.

    Raises `UnreadableError`.
    """
    start = len(text) - len(text.lstrip(_BLANKS))
    if text[start : start + 5].lower() != b"data:":
        return "", 0
    head, comma, _ = text[start + 5 : start + _LONGEST_HEAD].partition(b",")
    if not comma:
        raise UnreadableError(f"the data URL has no comma within its first {_LONGEST_HEAD} characters")
    described = head.decode("latin-1").lower()
    if not described.endswith(";base64"):
        raise UnreadableError("the data URL does not say ';base64' before its comma")
    return described.partition(";")[0].strip(), start + 5 + len(head) + 1


def decode(text: bytes, start: int = 0) -> bytes:
    """Decode `text` from `start` on. Raises `UnreadableError`; its positions count from 1 in the whole `text`."""
    end = len(text.rstrip(_BLANKS))
    while start < end and text[start] in _BLANKS:
        start += 1
    foreign = _FOREIGN.search(text, start, end)
    if foreign is not None:
        position = foreign.start()
        if text[position:end].translate(None, _IGNORED) not in {b"=", b"=="}:
            kind = _kind(text[position])
            raise UnreadableError(f"{kind} at position {position + 1}, not a letter, a digit or one of + / - _")
        end = position
    letters = text[start:end].translate(_TO_STANDARD, _IGNORED)
    over = len(letters) % 4
    if over == 1:
        raise UnreadableError(f"its length, {len(letters)} letters without padding, is none that base64 has")
    return binascii.a2b_base64(letters + b"=" * (4 - over) if over else letters)


def _kind(byte: int) -> str:
    character = chr(byte)
    if character == "=":
        return "'=', which is for the end and there twice at the most, stands"
    if character == "%":
        return "'%', as in text that is encoded for a URL, stands"
    if character == " ":
        return "a blank (a '+' before a form was decoded?) stands"
    if byte > 0x7F:
        return "a character that is not ASCII stands"
    return "a control character stands" if not character.isprintable() else "a punctuation character stands"
