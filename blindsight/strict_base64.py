"""Standard base64 (RFC 4648, section 4) from outside, read in one way only, the same as the page reads it.

`base64.b64decode` with `validate` lets padding follow where none is due (`AAAA==`), and has another error for text that
is not ASCII than for all else.
"""

from __future__ import annotations

import base64
import binascii


def decode(text: bytes | memoryview | str) -> bytes:
    """What `text` stands for. Raises `binascii.Error`, a `ValueError`."""
    if isinstance(text, str) and not text.isascii():
        raise binascii.Error("not ASCII")
    content = base64.b64decode(text, validate=True)
    # Four characters stand for three bytes, the last four for one at the least.
    if len(text) % 4 or len(content) <= len(text) // 4 * 3 - 3:
        raise binascii.Error("padding where none is due")
    return content
