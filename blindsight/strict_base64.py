"""A strict decoder for untrusted standard base64 (RFC 4648, section 4), with the same result as the page's.

`base64.b64decode` with `validate` accepts superfluous padding (`AAAA==`), and raises a different exception for text
that is not ASCII.
"""

from __future__ import annotations

import base64
import binascii


def decode(text: bytes | memoryview | str) -> bytes:
    """Decode `text`. Raises `binascii.Error`, a `ValueError`."""
    if isinstance(text, str) and not text.isascii():
        raise binascii.Error("not ASCII")
    content = base64.b64decode(text, validate=True)
    # Four characters stand for three bytes, the last four for one at the least.
    if len(text) % 4 or len(content) <= len(text) // 4 * 3 - 3:
        raise binascii.Error("padding where none is due")
    return content
