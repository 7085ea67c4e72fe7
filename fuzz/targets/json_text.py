"""Harness for untrusted JSON: the strict parser, and the parser that extracts a long string without decoding it."""

from __future__ import annotations

import json
from unittest import mock

from blindsight import strict_json
from fuzz.target import Target
from gateway.api import longtext


def run(data: bytes) -> None:
    """Check that `json` parses an accepted input to the same value, and that both parsers agree."""
    try:
        fields = _with_long_text(data)
    except longtext.BadJson:
        fields = None
    value = strict_json.loads(data)
    assert json.dumps(json.loads(data.decode())) == json.dumps(value)
    assert json.dumps(strict_json.loads(json.dumps(value))) == json.dumps(value)
    assert fields is None or json.dumps(fields) == json.dumps(value)


def _with_long_text(data: bytes) -> dict[str, object]:
    with mock.patch.multiple(longtext, _LONG=24, _WINDOW=16, MOST_BESIDE=300):
        fields = longtext.read_object(data)
        return {
            name: value.unescaped().decode() if isinstance(value, longtext.LongText) else value
            for name, value in fields.items()
        }


def seeds() -> dict[str, bytes]:
    """Objects with and without a long string, and texts that parsers interpret differently."""
    return {
        "values": json.dumps({"a": [1, -2.5, 1e300, True, None], "ä": {"b": "\u00e9\U0001f600"}}).encode(),
        "image": b'{"image": "' + b"QUJD" * 20 + b'"}',
        "escaped": b'{"image": "' + b"QU\\/D\\u0041" * 12 + b'", "other": 1}',
        "twice": b'{"a": 1, "a": 2}',
        "nan": b"[NaN, Infinity]",
        "surrogate": b'{"a": "\\ud83d\\ude00 \\ud800"}',
        "mark": b"\xef\xbb\xbf{}",
        "deep": b"[" * 40 + b"]" * 40,
        "utf-16": "{}".encode("utf-16"),
    }


TARGET = Target(
    run, (ValueError,), seeds, max_bytes=2000, words=(b"\\u0041", b"\\ud800", b"\\\\", b'"image"', b"1e999", b"NaN")
)
