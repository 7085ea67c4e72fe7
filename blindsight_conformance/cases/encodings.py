"""Certificates with a valid signature whose encoding violates RFC 5280 or X.690: steps 3 and 4."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from blindsight_conformance import mock
from blindsight_conformance.der import ECDSA_SHA256, ECDSA_SHA384, content_of, element, elements, resigned

if TYPE_CHECKING:
    from collections.abc import Callable

    from blindsight_conformance.book import Book

Edit = "Callable[[list[bytes]], list[bytes]]"

VERSION, SERIAL, ALGORITHM, ISSUER, VALIDITY, SUBJECT, KEY, EXTENSIONS = range(8)
COMMON_NAME, UNIQUE_IDENTIFIER = bytes.fromhex("550403"), bytes.fromhex("55042d")
FIELDS = "RFC 5280, 4.1"
EXTENSION = "RFC 5280, 4.2"
DER = "X.690, 10 and 11"
MALFORMED, INVALID, KEYLESS = ("malformed_certificate", 3), ("invalid_chain", 4), ("certificate_algorithm", 4)


def add(book: Book) -> None:
    """Add the cases of this module."""
    book.group = "encoding"
    _fields(book)
    _times(book)
    _keys(book)
    _extensions(book)
    _signatures(book)


def _leaf(book: Book, edit: Callable[[list[bytes]], list[bytes]]) -> bytes:
    return resigned(book.forge.leaf, book.forge.parties[-1], edit)


def _replaced(index: int, other: bytes) -> Callable[[list[bytes]], list[bytes]]:
    return lambda parts: [*parts[:index], other, *parts[index + 1 :]]


def _changed(index: int, old: bytes, new: bytes) -> Callable[[list[bytes]], list[bytes]]:
    """An edit of the signed part's element `index`: replace `old` by `new`, of the same length."""

    def edit(parts: list[bytes]) -> list[bytes]:
        if old not in parts[index] or len(old) != len(new):
            raise ValueError("nothing to replace")
        return _replaced(index, parts[index].replace(old, new, 1))(parts)

    return edit


def _fields(book: Book) -> None:
    unchanged = _leaf(book, list)
    book.accepted("signed again, and unchanged", book.document(certificate=unchanged), section=FIELDS)
    twenty = element(0x02, b"\x01" * 20)
    book.accepted("a serial number of 20 bytes", book.document(certificate=_leaf(book, _replaced(SERIAL, twenty))),
                  section=FIELDS)  # fmt: skip
    empty = element(0x30, b"")
    for verdict, name, edit in (
        (INVALID, "a serial number of 22 bytes", _replaced(SERIAL, element(0x02, b"\x01" * 22))),
        (MALFORMED, "a serial number with a superfluous zero", _replaced(SERIAL, element(0x02, b"\x00\x40"))),
        (MALFORMED, "a serial number with superfluous ones", _replaced(SERIAL, element(0x02, b"\xff\x80"))),
        (MALFORMED, "an empty serial number", _replaced(SERIAL, element(0x02, b""))),
        (MALFORMED, "a serial number that is a text", _replaced(SERIAL, element(0x0C, b"1"))),
        (INVALID, "version 1", lambda parts: parts[1:]),
        (MALFORMED, "version 1, written out", _replaced(VERSION, bytes.fromhex("a003020100"))),
        (MALFORMED, "version 5", _replaced(VERSION, bytes.fromhex("a003020104"))),
        (INVALID, "another algorithm in the signed part", _replaced(ALGORITHM, ECDSA_SHA256)),
        (MALFORMED, "parameters in the signed part's algorithm",
         _replaced(ALGORITHM, bytes.fromhex("300c06082a8648ce3d0403030500"))),
        (INVALID, "an issuer without a name", _replaced(ISSUER, empty)),
        (MALFORMED, "an element too many", lambda parts: [*parts, element(0x05, b"")]),
        (MALFORMED, "no key", lambda parts: [*parts[:KEY], *parts[EXTENSIONS:]]),
        (MALFORMED, "a name that is a bit string", _named(COMMON_NAME, 0x03, b"\0name")),
        (MALFORMED, "a name that is a number", _named(COMMON_NAME, 0x02, b"\x01")),
        (MALFORMED, "a name that is no UTF-8", _named(COMMON_NAME, 0x0C, b"\xff")),
    ):  # fmt: skip
        _refused(book, verdict, name, _leaf(book, edit), FIELDS)
    for name, edit in (
        ("a printable name", _named(COMMON_NAME, 0x13, b"name")),
        ("a name with a unique identifier of bits", _named(UNIQUE_IDENTIFIER, 0x03, b"\0name")),
    ):
        book.accepted(name, book.document(certificate=_leaf(book, edit)), section="X.520, 6; RFC 5280, 4.1.2.4")


def _named(attribute: bytes, tag: int, value: bytes) -> Callable[[list[bytes]], list[bytes]]:
    """A subject with one attribute, whose value has the type `tag`."""
    pair = element(0x30, element(0x06, attribute) + element(tag, value))
    return _replaced(SUBJECT, element(0x30, element(0x31, pair)))


def _times(book: Book) -> None:
    before, after = b"261101113400Z", b"261101143403Z"
    section = "RFC 5280, 4.1.2.5"

    def validity(first: bytes, second: bytes) -> bytes:
        return _leaf(book, _replaced(VALIDITY, element(0x30, first + second)))

    right = element(0x17, before), element(0x17, after)
    for verdict, name, first, second in (
        (INVALID, "four digits of a year before 2050", element(0x18, b"20" + before), right[1]),
        (INVALID, "four digits of the last year before 2050", right[0], element(0x18, b"20491231235959Z")),
        (MALFORMED, "a time without seconds", element(0x17, b"2611011134Z"), right[1]),
        (MALFORMED, "a time with an offset", element(0x17, b"261101113400+0000"), right[1]),
        (MALFORMED, "a time with a fraction", element(0x18, b"20261101113400.5Z"), right[1]),
        (MALFORMED, "30 February", element(0x17, b"260230000000Z"), right[1]),
        (MALFORMED, "24 o'clock", right[0], element(0x17, b"261101240000Z")),
        (MALFORMED, "a time that is a text", element(0x0C, before), right[1]),
        (MALFORMED, "one time", right[0], b""),
        (MALFORMED, "three times", right[0], right[1] + right[1]),
    ):
        _refused(book, verdict, name, validity(first, second), section)
    for year in (2049, 2050, 2051):
        end = mock.forge({"leaf": {"end": datetime(year, 1, 1, tzinfo=UTC)}})
        book.accepted(f"a signer until {year}", book.document(end), section=section)
    old = mock.forge({"root": {"start": datetime(1950, 1, 1, tzinfo=UTC)}})
    book.accepted("a root from 1950", book.document(old), policy=book.under(old), section=section)


def _keys(book: Book) -> None:
    section = "RFC 5480, 2"
    point = b"\x00" + b"\x04" + bytes.fromhex(_point(book))
    algorithm, curve = bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06052b81040022")
    x, parity = point[2:50], point[-1] & 1
    for verdict, name, key in (
        (KEYLESS, "a compressed point", element(0x30, algorithm + curve) + element(0x03, bytes([0, 2 + parity]) + x)),
        (KEYLESS, "a point cut short", element(0x30, algorithm + curve) + element(0x03, point[:-1])),
        (KEYLESS, "an empty point", element(0x30, algorithm + curve) + element(0x03, b"\x00")),
        (MALFORMED, "no curve", element(0x30, algorithm) + element(0x03, point)),
        (KEYLESS, "a curve that is null", element(0x30, algorithm + b"\x05\x00") + element(0x03, point)),
        (MALFORMED, "an algorithm with a superfluous zero",
         element(0x30, bytes.fromhex("0608802a8648ce3d0201") + curve) + element(0x03, point)),
        (MALFORMED, "an algorithm that does not end",
         element(0x30, bytes.fromhex("06072a8648ce3d0281") + curve) + element(0x03, point)),
        (MALFORMED, "an algorithm that is empty", element(0x30, b"\x06\x00" + curve) + element(0x03, point)),
        (MALFORMED, "a third part", element(0x30, algorithm + curve) + element(0x03, point) + b"\x05\x00"),
        (MALFORMED, "a point that is a byte string", element(0x30, algorithm + curve) + element(0x04, point[1:])),
    ):  # fmt: skip
        _refused(book, verdict, f"key: {name}", _leaf(book, _replaced(KEY, element(0x30, key))), section)


def _point(book: Book) -> str:
    numbers = book.forge.leaf.key.public_key().public_numbers()
    return f"{numbers.x:096x}{numbers.y:096x}"


def _extensions(book: Book) -> None:
    def edited(edit: Callable[[list[bytes]], list[bytes]]) -> bytes:
        def within(parts: list[bytes]) -> list[bytes]:
            listed = elements(content_of(content_of(parts[EXTENSIONS])))
            return [*parts[:EXTENSIONS], element(0xA3, element(0x30, b"".join(edit(listed))))]

        return _leaf(book, within)

    # Of the signer: basic constraints, critical; then key usage, not critical.
    def usage(bits: str, critical: str = "") -> bytes:
        oid = bytes.fromhex("0603551d0f") + bytes.fromhex(critical)
        return element(0x30, oid + element(0x04, bytes.fromhex(bits)))

    def constraints(value: str, critical: str = "0101ff") -> bytes:
        oid = bytes.fromhex("0603551d13") + bytes.fromhex(critical)
        return element(0x30, oid + element(0x04, bytes.fromhex(value)))

    for name, bits in (("7 bits unused", "03020780"), ("6 bits unused", "030206c0")):
        usual = usage(bits)
        document = book.document(certificate=edited(partial(_second, usual)))
        book.accepted(f"key usage: {name}", document, section=EXTENSION)
    for verdict, name, edit in (
        (INVALID, "basic constraints twice", lambda listed: [listed[0], *listed]),
        (INVALID, "key usage twice", lambda listed: [*listed, listed[1]]),
        (MALFORMED, "not critical, written out", lambda listed: [listed[0], usage("030206c0", "010100")]),
        (MALFORMED, "critical, but not as DER writes true", lambda listed: [listed[0], usage("030206c0", "010101")]),
        (MALFORMED, "critical of two bytes", lambda listed: [listed[0], usage("030206c0", "0102ffff")]),
        (INVALID, "key usage with 8 bits unused", lambda listed: [listed[0], usage("03020880")]),
        (INVALID, "key usage with a bit that is unused", lambda listed: [listed[0], usage("03020681")]),
        (INVALID, "an empty key usage", lambda listed: [listed[0], usage("030100")]),
        (INVALID, "an empty key usage with a bit unused", lambda listed: [listed[0], usage("030101")]),
        (INVALID, "key usage that is a byte string", lambda listed: [listed[0], usage("040206c0")]),
        (INVALID, "a byte after key usage", lambda listed: [listed[0], usage("030206c000")]),
        (INVALID, "basic constraints with false written out", lambda listed: [constraints("3003010100"), listed[1]]),
        (INVALID, "basic constraints with true of 1", lambda listed: [constraints("3003010101"), listed[1]]),
        (INVALID, "a byte after basic constraints", lambda listed: [constraints("300000"), listed[1]]),
        (INVALID, "basic constraints with a third part", lambda listed: [constraints("30020500"), listed[1]]),
        (
            MALFORMED,
            "an extension without a value",
            lambda listed: [*listed, element(0x30, bytes.fromhex("0603551d0e"))],
        ),
    ):
        _refused(book, verdict, name, edited(edit), EXTENSION)


def _second(other: bytes, listed: list[bytes]) -> list[bytes]:
    return [listed[0], other]


def _signatures(book: Book) -> None:
    section = "RFC 3279, 2.2.3"
    leaf, issuer = book.forge.leaf, book.forge.parties[-1]

    def halves(made: bytes) -> tuple[bytes, bytes]:
        r, s = elements(content_of(made))
        return r, s

    def pair(r: bytes, s: bytes, more: bytes = b"") -> bytes:
        return element(0x30, r + s + more)

    for name, change in (
        (
            "a superfluous zero in r",
            lambda made: pair(element(0x02, b"\x00\x00" + content_of(halves(made)[0])[-48:]), halves(made)[1]),
        ),
        ("r of zero", lambda made: pair(b"\x02\x01\x00", halves(made)[1])),
        ("a negative s", lambda made: pair(halves(made)[0], element(0x02, b"\x80" + bytes(47)))),
        ("an r of 50 bytes", lambda made: pair(element(0x02, b"\x01" * 50), halves(made)[1])),
        ("a third number", lambda made: pair(*halves(made), b"\x02\x01\x00")),
        ("one number", lambda made: element(0x30, halves(made)[0])),
        ("a byte after it", lambda made: made + b"\x00"),
        ("raw halves", lambda made: b"".join(content_of(half)[-48:].rjust(48, b"\x00") for half in halves(made))),
        ("empty", lambda _: b""),
    ):
        certificate = resigned(leaf, issuer, signature=change)
        _refused(book, INVALID, f"certificate's signature: {name}", certificate, section)
    for verdict, name, algorithm in (
        (KEYLESS, "SHA-256 beside the signature", ECDSA_SHA256),
        (MALFORMED, "parameters beside the signature", bytes.fromhex("300c06082a8648ce3d0403030500")),
        (MALFORMED, "an algorithm that is no sequence", ECDSA_SHA384[2:]),
    ):
        _refused(book, verdict, name, resigned(leaf, issuer, algorithm=algorithm), section)


def _refused(book: Book, verdict: tuple[str, int], name: str, certificate: bytes, section: str) -> None:
    code, step = verdict
    book.refused(code, step, name, book.document(certificate=certificate), section=section, rows=[22])
