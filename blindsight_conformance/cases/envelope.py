"""Messages that are not a COSE_Sign1 (RFC 9052, section 4.2) with ES384: step 1."""

from __future__ import annotations

import gzip
from base64 import b64encode
from typing import TYPE_CHECKING

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec

from blindsight_conformance import mock
from blindsight_conformance.forge import BREAK, ES384

if TYPE_CHECKING:
    from blindsight_conformance.book import Book

COSE = "AWS 3.1; RFC 9052, 4.2"
CBOR = "RFC 8949, 5.3"


def add(book: Book) -> None:
    """Add the cases of this module."""
    book.group = "envelope"
    _form(book)
    _algorithm(book)
    _bombs(book)


def _form(book: Book) -> None:
    document, payload = book.document(), book.payload()
    message = cbor2.loads(document)
    signature: bytes = message[3]
    book.refused("malformed_cbor", 1, "empty", b"", section=CBOR, rows=[23])
    book.refused("malformed_cbor", 1, "cut short", document[:-1], section=CBOR, rows=[10])
    book.refused("malformed_cbor", 1, "cut after its head", document[:1], section=CBOR)
    for name, more in (("a zero byte", b"\x00"), ("a break", BREAK), ("itself", document)):
        book.refused("trailing_bytes", 1, f"followed by {name}", document + more, section=CBOR, rows=[10])
    book.refused(
        "trailing_bytes", 1, "tagged, and followed by a byte", b"\xd2" + document + b"\x00", section=CBOR, rows=[10]
    )
    for tag in (1, 17, 19, 28, 35, 55799):
        tagged = cbor2.dumps(cbor2.CBORTag(tag, message))
        book.refused("unexpected_tag", 1, f"tag {tag} in the place of 18", tagged, section=COSE, rows=[23])
    book.refused("unexpected_tag", 1, "tag 18 twice", b"\xd2\xd2" + document, section=COSE)
    book.refused(
        "malformed_cbor",
        1,
        "tag 18 in a longer form",
        b"\xd8\x12" + document,
        section=COSE,
        note="not the preferred serialisation, RFC 8949, 4.1",
    )
    for name, value in (
        ("three elements", message[:3]),
        ("five elements", [*message, b""]),
        ("no elements", []),
        ("a map", {0: message[0]}),
        ("a byte string", document),
        ("a text", "84"),
        ("null", None),
        ("true", True),
        ("a number", 18),
    ):
        book.refused("not_cose_sign1", 1, f"{name} for an envelope", cbor2.dumps(value), section=COSE)
    for name, value in (("null", None), ("empty", b""), ("a text", payload.hex()), ("a map", {})):
        hostile = cbor2.dumps([ES384, {}, value, signature])
        book.refused("not_cose_sign1", 1, f"payload that is {name}", hostile, section=COSE, rows=[5])
    for name, changed in (
        ("empty", b""),
        ("of 64 bytes", signature[:64]),
        ("of 95 bytes", signature[:-1]),
        ("of 97 bytes", signature + b"\x00"),
        ("of 132 bytes", signature.ljust(132, b"\x00")),
        ("null", None),
        ("a text", "r and s"),
    ):
        hostile = cbor2.dumps([ES384, {}, payload, changed])
        book.refused("not_cose_sign1", 1, f"signature that is {name}", hostile, section=COSE, rows=[5, 15])
    book.refused("indefinite_length", 1, "an indefinite array", b"\x9f" + document[1:] + BREAK, section=CBOR, rows=[12])
    book.refused(
        "indefinite_length",
        1,
        "an indefinite array, tagged",
        b"\xd2\x9f" + document[1:] + BREAK,
        section=CBOR,
        rows=[12],
    )
    book.refused("indefinite_length", 1, "a break alone", BREAK, section=CBOR, rows=[12])
    book.refused("indefinite_length", 1, "the payload alone", payload, section=COSE, rows=[5])
    unprotected = document.replace(b"\x22\xa0", b"\x22\xbf\xff", 1)
    book.refused("indefinite_length", 1, "an indefinite unprotected header", unprotected, section=CBOR, rows=[12])
    header = cbor2.dumps(ES384)
    chunked = document.replace(header, b"\x5f" + header + BREAK, 1)
    book.refused("indefinite_length", 1, "a protected header in chunks", chunked, section=CBOR, rows=[12])
    long_head = b"\x98\x04" + document[1:]
    book.refused("malformed_cbor", 1, "an array head in a longer form", long_head, section="RFC 8949, 4.1")
    book.refused("malformed_cbor", 1, "a reserved length", b"\x9c" + document[1:], section="RFC 8949, 3")


def _algorithm(book: Book) -> None:
    section = "AWS 3.1: {1: -35}"
    payload, forge = book.payload(), book.forge
    for number, name in (
        (-7, "ES256"),
        (-36, "ES512"),
        (-8, "EdDSA"),
        (-37, "PS256"),
        (-47, "ES256K"),
        (-51, "ESP384"),
        (-1, "none"),
        (0, "reserved"),
        (5, "HMAC"),
        (-35.0, "ES384 as a fraction"),
        ("ES384", "ES384 as a text"),
    ):
        document = forge.envelope(payload, protected=cbor2.dumps({1: number}))
        book.refused("wrong_algorithm", 1, f"algorithm {name}", document, section=section, rows=[15])
    for name, protected in (
        ("an empty protected header", b""),
        ("a protected header without algorithm", b"\xa0"),
        ("a key identifier in the protected header", cbor2.dumps({1: -35, 4: b"kid"})),
        ("an indefinite protected header", b"\xbf\x01\x38\x22\xff"),
        ("the algorithm twice, and once another", b"\xa2\x01\x26\x01\x38\x22"),
        ("the algorithm in a longer form", b"\xa1\x01\x39\x00\x22"),
        ("a byte after the protected header", ES384 + b"\x00"),
        ("content that must be understood", cbor2.dumps({1: -35, 2: [99], 99: 1})),
    ):
        document = forge.envelope(payload, protected=protected)
        book.refused("wrong_algorithm", 1, name, document, section=section, rows=[15])
    book.refused(
        "wrong_algorithm",
        1,
        "the algorithm in the unprotected header",
        forge.envelope(payload, protected=b"", unprotected={1: -35}),
        section=section,
        rows=[15],
    )
    book.refused(
        "wrong_algorithm",
        1,
        "a protected header that is a map",
        cbor2.dumps([{1: -35}, {}, payload, bytes(96)]),
        section=section,
    )
    book.refused(
        "wrong_algorithm",
        1,
        "a protected header that is null",
        cbor2.dumps([None, {}, payload, bytes(96)]),
        section=section,
    )
    for name, value in (
        ("another algorithm", {1: -7}),
        ("the same algorithm", {1: -35}),
        ("a key identifier", {4: b"kid"}),
        ("a certificate chain", {33: [forge.leaf.der]}),
        ("null", False),
        ("a list", []),
        ("bytes", b""),
    ):
        message = cbor2.loads(forge.envelope(payload))
        message[1] = None if name == "null" else value
        book.refused(
            "unprotected_header", 1, f"unprotected header with {name}", cbor2.dumps(message), section=COSE, rows=[15]
        )
    curve = mock.forge({"leaf": {"curve": ec.SECP256R1()}})
    short = curve.envelope(book.payload(curve), protected=cbor2.dumps({1: -7}))
    book.refused("wrong_algorithm", 1, "ES256 by a signer on P-256", short, section=section, rows=[15])


def _bombs(book: Book) -> None:
    section = "AWS 3.1: size; field facts, section 2, step 1"
    book.refused("document_too_large", 1, "16385 zero bytes", bytes(16 * 1024 + 1), section=section, rows=[23])
    huge = book.document(padding=bytes(16 * 1024))
    book.refused("document_too_large", 1, "a signed document beyond 16 KiB", huge, section=section, rows=[23])
    book.refused(
        "nesting_too_deep", 1, "a thousand arrays in each other", b"\x81" * 1000 + b"\x00", section=section, rows=[23]
    )
    book.refused(
        "nesting_too_deep", 1, "a thousand maps in each other", b"\xa1\x00" * 1000 + b"\x00", section=section, rows=[23]
    )
    for name, head in (("byte string", b"\x5b"), ("text", b"\x7b"), ("array", b"\x9b"), ("map", b"\xbb")):
        claimed = head + b"\xff" * 8
        book.refused("malformed_cbor", 1, f"a {name} that claims 2^64 - 1", claimed, section=CBOR, rows=[23])
        claimed = b"\x84" + head[:1] + b"\x00\x00\x00\x01\x00\x00\x00\x00"
        book.refused("malformed_cbor", 1, f"a {name} of 4 GiB in the envelope", claimed, section=CBOR, rows=[23])
    squeezed = gzip.compress(book.document(), mtime=0)
    book.refused(
        "indefinite_length",
        1,
        "compressed",
        squeezed,
        section=section,
        rows=[23],
        note="gzip begins with 1f; nothing is expanded",
    )
    book.refused("trailing_bytes", 1, "base64 text", b64encode(book.document()), section=section)
