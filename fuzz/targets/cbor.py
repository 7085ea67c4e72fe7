"""Harness for the strict CBOR decoder (RFC 8949), compared with cbor2."""

from __future__ import annotations

import cbor2

from blindsight import cbor
from fuzz.target import Target

_CODES = {
    "malformed_cbor", "trailing_bytes", "duplicate_key", "indefinite_length", "nesting_too_deep", "unexpected_tag",
}  # fmt: skip


def run(data: bytes) -> None:
    """Check that cbor2 decodes an accepted input to the same value, and encodes that value to the same bytes."""
    try:
        few = cbor.decode(data, max_items=8)
    except cbor.CBORDecodeError as error:
        assert error.code in _CODES
    else:
        assert cbor2.dumps(few) == data
    try:
        value = cbor.decode(data, indefinite_map=True)
    except cbor.CBORDecodeError as error:
        assert error.code in _CODES
        raise
    if data[0] == 0xBF:
        assert isinstance(value, dict)
        assert b"".join(cbor2.dumps(name) + cbor2.dumps(each) for name, each in value.items()) == data[1:-1]
    else:
        assert cbor.decode(data) == value
        assert cbor2.dumps(value) == data
    assert cbor2.loads(data) == value


def seeds() -> dict[str, bytes]:
    """Each type, and the structures of frames and documents."""
    values: dict[str, object] = {
        "integers": [0, 23, 24, 255, 256, 65535, 65536, 2**32, 2**64 - 1, -1, -(2**64)],
        "strings": [b"", b"bytes" * 8, "", "text ä€😀", "x" * 300],
        "simple": [None, True, False],
        "map": {"nonce": bytes(32), 0: [1, 2], "nested": {"a": {}}, -1: None},
        "deep": [[[[]]]],
    }
    return {name: cbor2.dumps(value) for name, value in values.items()} | {
        "indefinite": b"\xbf" + cbor2.dumps("a") + cbor2.dumps([1]) + cbor2.dumps(2) + cbor2.dumps(b"b") + b"\xff",
        "float": cbor2.dumps(1.5), "tag": cbor2.dumps(cbor2.CBORTag(24, b"x")), "chunks": b"\x5f\x41a\xff",
    }  # fmt: skip


TARGET = Target(run, (cbor.CBORDecodeError,), seeds, max_bytes=1024)
