"""Payloads that violate the table of fields (AWS Nitro Enclaves NSM API, attestation process): step 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cbor2

from blindsight_conformance import mock
from blindsight_conformance.forge import BREAK, NONCE, definite, entries_of, indefinite
from blindsight_conformance.pki import NOW

if TYPE_CHECKING:
    from blindsight_conformance.book import Book

CBOR = "RFC 8949, 5.3"
PRESENT = "AWS 3.2.2.1"
CONTENT = "AWS 3.2.2.2"
MANDATORY = ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle")


def add(book: Book) -> None:
    """Add the cases of this module."""
    book.group = "fields"
    _mandatory(book)
    _content(book)
    _limits(book)
    _registers(book)
    _lengths(book)
    _twice(book)
    _tags(book)


def _mandatory(book: Book) -> None:
    for name in MANDATORY:
        for how, value in (("missing", ...), ("null", None)):
            document = book.document(**{name: value})
            book.refused("missing_field", 2, f"{name} {how}", document, section=PRESENT, rows=[6])
    empty = book.forge.envelope(indefinite(b""))
    book.refused("missing_field", 2, "no fields at all", empty, section=PRESENT, rows=[6])
    capital = book.document(certificate=..., Certificate=book.forge.leaf.der)
    book.refused("missing_field", 2, "Certificate for certificate", capital, section=PRESENT, rows=[6])


def _content(book: Book) -> None:
    wrong: dict[str, dict[str, object]] = {
        "module_id": {"empty": "", "bytes": b"i-0", "a number": 1},
        "timestamp": {
            "0": 0,
            "-1": -1,
            "a text": "2026",
            "true": True,
            "beyond the year 9999": 253_402_300_800_000,
            "2^64 - 1": 2**64 - 1,
            "bytes": b"\x01",
            "in nanoseconds": 10**6 * 1000 * int(NOW.timestamp()),
        },
        "certificate": {"empty": b"", "a text": "MII", "of 1025 bytes": bytes(1025), "a list": []},
        "cabundle": {
            "empty": [],
            "a map": {},
            "bytes": book.forge.root.der,
            "with an empty entry": [b""],
            "with null": [None],
            "with a text": ["MII"],
            "with an entry of 1025 bytes": [bytes(1025)],
        },
        "pcrs": {"empty": {}, "a list": [], "bytes": bytes(48), "of 33 entries": dict.fromkeys(range(33), bytes(48))},
        "public_key": {"empty": b"", "of 1025 bytes": bytes(1025), "a text": "key"},
        "user_data": {"of 1025 bytes": bytes(1025), "of 11000 bytes": bytes(11_000), "a text": "{}", "a map": {}},
        "nonce": {"of 1025 bytes": bytes(1025), "a text": NONCE.hex(), "a number": 7, "false": False},
    }
    for name, values in wrong.items():
        for how, value in values.items():
            document = book.document(**{name: value})
            book.refused("invalid_field", 2, f"{name} {how}", document, section=CONTENT, rows=[6])
    bundle = [book.forge.root.der, *[b"x"] * 3, b""]
    book.refused(
        "invalid_field", 2, "cabundle with an empty last entry", book.document(cabundle=bundle), section=CONTENT
    )
    for digest, name in (
        ("SHA256", "SHA256"),
        ("SHA512", "SHA512"),
        ("sha384", "in small letters"),
        ("SHA-384", "SHA-384"),
        ("SHA384 ", "with a space"),
    ):
        document = book.document(digest=digest)
        book.refused("unsupported_digest", 2, f"digest {name}", document, section=CONTENT, rows=[21])
    book.refused("invalid_field", 2, "digest bytes", book.document(digest=b"SHA384"), section=CONTENT)
    for name, value in (("a list", []), ("bytes", b"\xa0"), ("a text", "{}"), ("null", None), ("a number", 0)):
        document = book.forge.envelope(cbor2.dumps(value))
        book.refused("invalid_field", 2, f"payload that is {name}", document, section=CONTENT)


def _limits(book: Book) -> None:
    """Values at the limits of their range, which only a later step refuses."""
    for size in (1, 1024):
        document = book.document(certificate=bytes(size))
        book.refused("malformed_certificate", 3, f"certificate of {size} bytes", document, section=CONTENT, rows=[6])
        document = book.document(cabundle=[book.forge.root.der, bytes(size)])
        book.refused("malformed_certificate", 3, f"cabundle with {size} bytes", document, section=CONTENT, rows=[6])
    last = book.document(timestamp=253_402_300_799_999)
    book.refused("evidence_from_future", 10, "timestamp at the end of 9999", last, section=CONTENT, rows=[20])


def _registers(book: Book) -> None:
    for index, name in ((32, "32"), (-1, "-1"), ("0", "a text"), (2**32, "2^32"), (2**63, "2^63")):
        document = book.document(pcrs=mock.pcrs() | {index: bytes(48)})
        book.refused("invalid_pcr_index", 2, f"register index {name}", document, section=CONTENT, rows=[21])
    pcrs = cbor2.dumps(mock.pcrs())
    for encoded, name in ((b"\x41\x00", "bytes"), (b"\xf6", "null"), (b"\xf5", "true")):
        odd = bytes([pcrs[0] + 1]) + pcrs[1:] + encoded + cbor2.dumps(bytes(48))
        payload = book.payload().replace(pcrs, odd)
        book.refused(
            "malformed_cbor", 2, f"register index {name}", book.forge.envelope(payload), section=CONTENT, rows=[21]
        )
    values: dict[str, object] = {
        "32 bytes": bytes(32),
        "64 bytes": bytes(64),
        "47 bytes": bytes(47),
        "49 bytes": bytes(49),
        "empty": b"",
        "null": None,
        "a text": "0" * 48,
        "a list": [],
    }
    for name, value in values.items():
        document = book.document(pcrs=mock.pcrs() | {5: value})
        book.refused("invalid_pcr_length", 2, f"register of {name}", document, section=CONTENT, rows=[21])


def _lengths(book: Book) -> None:
    """Definite and indefinite lengths, and positions of the break (nitro-validator 32)."""
    forge, payload = book.forge, book.payload()
    entries = payload[1:-1]
    bundle = cbor2.dumps(forge.bundle)
    registers = cbor2.dumps(mock.pcrs())
    extra, nonce = cbor2.dumps("extra"), entries_of({"nonce": bytes(32)})
    for code, name, hostile in (
        ("malformed_cbor", "no break", payload[:-1]),
        ("malformed_cbor", "the head alone", b"\xbf"),
        ("trailing_bytes", "a definite map and a break", definite(entries) + BREAK),
        ("malformed_cbor", "a definite map of one field too few", definite(entries, 10)),
        ("trailing_bytes", "a definite map of one field too many", definite(entries, 8)),
        ("trailing_bytes", "a break more", payload + BREAK),
        ("trailing_bytes", "a byte after the payload", payload + b"\x00"),
        ("trailing_bytes", "fields after the break", payload + nonce),
        ("trailing_bytes", "fields and a break after the break", payload + nonce + BREAK),
        ("trailing_bytes", "the payload twice", payload * 2),
        ("indefinite_length", "a break for a value", b"\xbf" + entries + extra + BREAK + BREAK),
        ("indefinite_length", "an odd number of items", b"\xbf" + entries + extra + BREAK),
        (
            "indefinite_length",
            "a break in the bundle",
            payload.replace(bundle, bytes([bundle[0] + 1]) + bundle[1:] + BREAK),
        ),
        ("indefinite_length", "an indefinite bundle", payload.replace(bundle, b"\x9f" + bundle[1:] + BREAK)),
        ("indefinite_length", "indefinite registers", payload.replace(registers, b"\xbf" + registers[1:] + BREAK)),
        (
            "indefinite_length",
            "a text in chunks",
            payload.replace(cbor2.dumps("SHA384"), b"\x7f" + cbor2.dumps("SHA384") + BREAK),
        ),
        (
            "indefinite_length",
            "a nonce in chunks",
            payload.replace(cbor2.dumps(NONCE), b"\x5f" + cbor2.dumps(NONCE) + BREAK),
        ),
        (
            "indefinite_length",
            "a name in chunks",
            payload.replace(cbor2.dumps("digest"), b"\x7f" + cbor2.dumps("digest") + BREAK),
        ),
        ("indefinite_length", "an indefinite map within", b"\xbf" + entries + extra + b"\xbf" + BREAK + BREAK),
        ("indefinite_length", "an indefinite array for a payload", b"\x9f" + payload[1:]),
        ("indefinite_length", "a byte string in chunks for a payload", b"\x5f" + payload[1:]),
        ("indefinite_length", "a payload in an array", b"\x81" + payload),
        ("indefinite_length", "a payload in a map", b"\xa1\x00" + payload),
        ("nesting_too_deep", "an unknown field too deep", b"\xbf" + entries + entries_of({"x": [[[[0]]]]}) + BREAK),
        ("malformed_cbor", "a fraction", payload.replace(cbor2.dumps(1000 * int(NOW.timestamp())), cbor2.dumps(1.5))),
        ("malformed_cbor", "undefined for a value", b"\xbf" + entries + extra + b"\xf7" + BREAK),
        ("malformed_cbor", "a simple value that is not assigned", b"\xbf" + entries + extra + b"\xf0" + BREAK),
        ("malformed_cbor", "a name that is not UTF-8", b"\xbf" + entries + b"\x61\xff\x00" + BREAK),
        ("nesting_too_deep", "a name of four arrays", b"\xbf" + entries + b"\x81\x81\x81\x81\x00\x00" + BREAK),
        ("malformed_cbor", "a name of three arrays", b"\xbf" + entries + b"\x81\x81\x81\x00\x00" + BREAK),
        ("malformed_cbor", "a name that is bytes", b"\xbf" + entries + b"\x41x\x00" + BREAK),
        ("malformed_cbor", "a number in a longer form", b"\xbf" + entries + extra + b"\x18\x05" + BREAK),
        (
            "malformed_cbor",
            "a nonce's length in a longer form",
            payload.replace(cbor2.dumps(NONCE), b"\x59\x00\x20" + NONCE),
        ),
        ("malformed_cbor", "a map that claims 2^64 - 1", b"\xbb" + b"\xff" * 8 + entries),
        (
            "indefinite_length",
            "a bundle that claims 2^32 entries, and meets the break",
            payload.replace(bundle, b"\x9b\x00\x00\x00\x01" + bytes(4) + bundle[1:]),
        ),
    ):
        if hostile == payload:
            raise ValueError(f"{name}: nothing was changed")
        book.refused(code, 2, name, forge.envelope(hostile), section=CBOR, rows=[10 if "trailing" in code else 12])


def _twice(book: Book) -> None:
    """Duplicate keys, of which parsers use either the first or the last (nitro-validator 36)."""
    entries = book.payload()[1:-1]
    fields = book.forge.fields(pcrs=mock.pcrs(), module_id=mock.MODULE_ID)
    for name, value in fields.items():
        again = indefinite(entries + entries_of({name: value}))
        book.refused("duplicate_key", 2, f"{name} twice", book.forge.envelope(again), section=CBOR, rows=[11])
    other = entries_of({"nonce": bytes(32)})
    for name, payload in (
        ("another nonce after", indefinite(entries + other)),
        ("another nonce before", indefinite(other + entries)),
        ("another nonce after, in a definite map", definite(entries + other, 10)),
        ("an unknown field twice", indefinite(entries + 2 * entries_of({"extra": 0}))),
        ("null and a value", indefinite(entries_of({"public_key": None}) + entries)),
    ):
        book.refused("duplicate_key", 2, f"twice: {name}", book.forge.envelope(payload), section=CBOR, rows=[11])
    registers = cbor2.dumps(mock.pcrs())
    for name, value in (("the same", mock.pcrs()[0]), ("zeros", bytes(48))):
        twice = bytes([registers[0] + 1]) + registers[1:] + b"\x00" + cbor2.dumps(value)
        payload = book.payload().replace(registers, twice)
        book.refused(
            "duplicate_key", 2, f"register 0 twice: {name}", book.forge.envelope(payload), section=CBOR, rows=[11]
        )


def _tags(book: Book) -> None:
    section = "field facts, section 4: tags are not interpreted before anything is authenticated"
    for tag in (1, 2, 18, 28, 29, 30, 35, 258, 55799):
        document = book.document(nonce=cbor2.CBORTag(tag, "((((a+)+)+)+)"))
        book.refused("unexpected_tag", 2, f"tag {tag} in the payload", document, section=section, rows=[23])
    tagged = book.forge.envelope(b"\xd2" + book.payload())
    book.refused("unexpected_tag", 2, "a tagged payload", tagged, section=section, rows=[23])
