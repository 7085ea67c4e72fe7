"""Forms of an attestation document's payload and of its user data, for the evidence vectors: each with its verdict."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

import cbor2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.blindsight.attestation.attestation_forge import Forge

BREAK = b"\xff"


def refused_payloads(forge: Forge, payload: bytes) -> Iterator[tuple[str, str, int, bytes]]:
    """Name, code, step and document, from a right `payload` whose outer map has indefinite length."""
    entries = payload[1:-1]
    digest, bundle = (cbor2.dumps(forge.fields()[name]) for name in ("digest", "cabundle"))
    nonce = cbor2.dumps("nonce") + cbor2.dumps(bytes(32))
    document = forge.envelope(payload)
    yield "an indefinite envelope", "indefinite_length", 1, b"\x9f" + document[1:] + BREAK
    yield "an indefinite unprotected header", "indefinite_length", 1, document.replace(b"\x22\xa0", b"\x22\xbf\xff", 1)
    hostile = {
        "no break": ("malformed_cbor", payload[:-1]),
        "a definite map and a break": ("trailing_bytes", _definite(entries) + BREAK),
        "a break more": ("trailing_bytes", payload + BREAK),
        "fields after the break": ("trailing_bytes", payload + nonce),
        "a break for a value": ("indefinite_length", b"\xbf" + entries + cbor2.dumps("extra") + BREAK + BREAK),
        "an odd number of items": ("indefinite_length", b"\xbf" + entries + cbor2.dumps("extra") + BREAK),
        "a break in the bundle": (
            "indefinite_length",
            payload.replace(bundle, bytes([bundle[0] + 1]) + bundle[1:] + BREAK),
        ),
        "an indefinite bundle": ("indefinite_length", payload.replace(bundle, b"\x9f" + bundle[1:] + BREAK)),
        "an indefinite text": ("indefinite_length", payload.replace(digest, b"\x7f" + digest + BREAK)),
        "an indefinite map within": (
            "indefinite_length",
            b"\xbf" + entries + cbor2.dumps("extra") + b"\xbf" + BREAK + BREAK,
        ),
        "an indefinite array for a payload": ("indefinite_length", b"\x9f" + payload[1:]),
        "a payload in an array": ("indefinite_length", b"\x81" + payload),
        "a tagged payload": ("unexpected_tag", b"\xd2" + payload),
        "a field twice": ("duplicate_key", b"\xbf" + entries + nonce + BREAK),
        "a field twice in a definite map": ("duplicate_key", _definite(entries + nonce, 10)),
        "an unknown field twice": ("duplicate_key", b"\xbf" + entries + 2 * (cbor2.dumps("extra") + b"\x00") + BREAK),
        "an unknown field too deep": (
            "nesting_too_deep",
            b"\xbf" + entries + cbor2.dumps("extra") + cbor2.dumps([[[[0]]]]) + BREAK,
        ),
    }
    for name, (code, changed) in hostile.items():
        yield name, code, 2, forge.envelope(changed)


def _definite(entries: bytes, count: int = 9) -> bytes:
    return bytes([0xA0 + count]) + entries


def user_data_of_others(claims: bytes) -> dict[str, bytes]:
    """Spellings of `claims`, which are canonical JSON, that are no JSON in UTF-8: user data that claims nothing."""
    text = claims.decode()
    return {
        "UTF-16": text.encode("utf-16"),
        "UTF-16, big end first": text.encode("utf-16-be"),
        "UTF-16, little end first": text.encode("utf-16-le"),
        "UTF-32": '{"model_sha256":""}'.encode("utf-32"),
        "UTF-32, big end first": '{"model_sha256":""}'.encode("utf-32-be"),
        "UTF-8 after a byte order mark": codecs.BOM_UTF8 + claims,
        "half a surrogate pair": claims[:-1] + b',"x":"\xed\xa0\x80"}',
        "a number that is none": claims[:-1] + b',"x":NaN}',
        "an infinite number": claims[:-1] + b',"x":[-Infinity]}',
        "101 levels": claims[:-1] + b',"x":' + b"[" * 100 + b"0" + b"]" * 100 + b"}",
        "bytes after it": claims + b"\x00",
    }


def malformed_user_data(claims: bytes) -> dict[str, bytes]:
    """Spellings of `claims` that have two readings."""
    return {
        "a claim twice": claims[:-1] + b',"model_sha256":""}',
        "a claim twice, once escaped": claims[:-1] + b',"model\\u005fsha256":""}',
        "a member twice, within": claims[:-1] + b',"x":[{"a":1,"a":1}]}',
    }
