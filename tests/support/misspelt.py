"""Bytes that some readers take for JSON, and RFC 8259 does not."""

from __future__ import annotations

import codecs


def misspelt(text: str) -> dict[str, bytes]:
    """Spellings of the JSON object `text`: encodings that Python's `json.loads` guesses, and what else it lets pass.

    Each ends in the byte that a reader of streams may wait for, a closing brace.
    """
    more = text.rstrip()[:-1] + ("," if len(text) > 2 else "")
    return {
        "utf-16": text.encode("utf-16-be"),
        "utf-32": text.encode("utf-32-be"),
        "byte order mark": codecs.BOM_UTF8 + text.encode(),
        "surrogate in utf-8": f'{more}"x":"\ud800"}}'.encode(errors="surrogatepass"),
        "not a number": f'{more}"x":NaN}}'.encode(),
        "member twice": f'{more}"x":1,"x":1}}'.encode(),
        "deep": f'{more}"x":{"[" * 101}{"]" * 101}}}'.encode(),
    }
